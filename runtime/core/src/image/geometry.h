// Checks of what callers hand over, before any byte of it is touched.
#pragma once

#include <edge_sr/edge_sr.h>

#include "image/chroma.h"
#include "image/memory.h"
#include "image/plane.h"

namespace esr {

constexpr std::int32_t kLargestSide = 16384;  // of lr

// A checked view. `name` begins the message of Error(kInvalidArgument).
Plane checked_plane(const esr_plane &plane, const char *name);

// Throws Error(kInvalidArgument) unless `sr` is `scale` times `lr`, of its kind, and apart from it.
void check_pair(const Plane &lr, const Plane &sr, int scale);

// The planes of a frame: luma, and two of chroma if the format has them.
struct FramePlanes {
  Plane luma;
  SteppedPlane<Plane> chroma[2];
  int num_chroma = 0;
  ChromaPhase phase;
  int low_bits = 0;  // zeros below the bits of a sample, as P010 has them
  Area areas[3];     // as the caller stores them: interleaved chroma is one
  int num_areas = 1;
};

// Checked views of a frame's planes; throws Error(kInvalidArgument).
FramePlanes checked_frame(const esr_frame &frame, const char *name);

// Throws Error(kInvalidArgument) unless `sr` is `scale` times `lr`, alike, and its planes apart
// from those of `lr` and from one another.
void check_frames(const esr_frame &lr_frame, const FramePlanes &lr, const esr_frame &sr_frame,
                  const FramePlanes &sr, int scale);

inline ConstPlane as_const(const Plane &plane) {
  return {plane.data, plane.width, plane.height, plane.stride, plane.type, plane.bit_depth};
}

}  // namespace esr
