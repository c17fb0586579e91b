// Bicubic upscaling of chroma planes that keeps where their samples lie.
#pragma once

#include <cstdint>
#include <vector>

#include "base/aligned_buffer.h"
#include "image/plane.h"
#include "threading/thread_pool.h"

namespace esr {

// How far samples sit from the centre of their cell, in samples: -0.25 for chroma that shares every
// second luma column or row, 0 for centred chroma.
struct ChromaPhase {
  float x = 0.0F;
  float y = 0.0F;
};

// A plane whose neighbouring samples lie `step` samples apart, as U and V of NV12 do.
template <class AnyPlane>
struct SteppedPlane {
  AnyPlane plane;
  std::int32_t step = 1;
};

// Keys' kernel with a = -1/2, edges repeated, float32, rounded half to even and clamped.
class ChromaUpscaler {
 public:
  // Takes memory for planes of up to `width` samples, so that run() needs none.
  void reserve(std::int32_t width, int num_threads);

  // `sr` may be up to scale-1 samples shorter than scale * lr, for odd luma sides. uint8 or uint16;
  // a sample of depth d is worth 2^(sr depth - d) of those of `sr`.
  void run(const SteppedPlane<ConstPlane> &lr, const SteppedPlane<Plane> &sr, int scale,
           const ChromaPhase &phase, ThreadPool &pool);

 private:
  std::vector<AlignedBuffer<float>> rows_;  // one per worker
};

}  // namespace esr
