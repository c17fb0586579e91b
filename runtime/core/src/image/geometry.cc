#include "image/geometry.h"

#include <string>

#include "base/error.h"

namespace esr {
namespace {

[[noreturn]] void fail(const std::string &message) {
  throw Error(Status::kInvalidArgument, message);
}

std::string size_text(std::int32_t width, std::int32_t height) {
  return std::to_string(width) + "x" + std::to_string(height);
}

void check_side(std::int32_t width, std::int32_t height, std::int32_t largest, const char *name) {
  if (width < 1 || height < 1 || width > largest || height > largest) {
    fail(std::string(name) + " of " + size_text(width, height) + " is not within 1x1 and " +
         size_text(largest, largest));
  }
}

SampleType sample_type_of(const esr_plane &plane, const char *name) {
  const int depth = plane.bit_depth;
  switch (plane.sample_type) {
    case ESR_SAMPLE_UINT8:
      if (depth == 8) return SampleType::kUint8;
      break;
    case ESR_SAMPLE_UINT16:
      if (depth >= 9 && depth <= 16) return SampleType::kUint16;
      break;
    case ESR_SAMPLE_FLOAT32:
      if (depth == 8) return SampleType::kFloat32;
      break;
  }
  fail(std::string(name) + " has sample type " +
       std::to_string(static_cast<int>(plane.sample_type)) + " with " + std::to_string(depth) +
       " bits, which do not belong together");
}

RowLayout rows_of(const Plane &plane, int step) {
  return {plane.data, plane.stride, plane.height, std::int64_t{plane.width} * step,
          bytes_of(plane.type)};
}

// What both planes and frames must fulfil; where they lie is checked apart.
void check_likeness(const Plane &lr, const Plane &sr, int scale) {
  check_side(lr.width, lr.height, kLargestSide, "lr");
  if (sr.width != lr.width * scale || sr.height != lr.height * scale) {
    fail("sr of " + size_text(sr.width, sr.height) + " is not " + std::to_string(scale) +
         " times lr of " + size_text(lr.width, lr.height));
  }
  if (sr.type != lr.type || sr.bit_depth != lr.bit_depth) {
    fail("lr and sr differ in sample type or bit depth");
  }
}

struct Layout {
  int sub_x = 1;  // luma samples per chroma sample
  int sub_y = 1;
  bool has_chroma = true;
  bool is_interleaved = false;
  bool is_high = false;  // the bits lie at the high end of a word
};

Layout layout_of(const esr_frame &frame, const char *name) {
  switch (frame.format) {
    case ESR_FORMAT_GREY:
      return {1, 1, false, false, false};
    case ESR_FORMAT_YUV420P:
      return {2, 2, true, false, false};
    case ESR_FORMAT_YUV422P:
      return {2, 1, true, false, false};
    case ESR_FORMAT_YUV444P:
      return {1, 1, true, false, false};
    case ESR_FORMAT_NV12:
      return {2, 2, true, true, false};
    case ESR_FORMAT_P010:
      return {2, 2, true, true, true};
  }
  fail(std::string(name) + " has the unknown format " +
       std::to_string(static_cast<int>(frame.format)));
}

void check_depth(const esr_frame &frame, const Layout &layout, const char *name) {
  const int least = layout.is_high ? 9 : 8;
  if (frame.bit_depth < least || frame.bit_depth > 16) {
    fail(std::string(name) + " has " + std::to_string(frame.bit_depth) + " bits, not " +
         std::to_string(least) + "..16");
  }
}

ChromaPhase phase_of(const esr_frame &frame, const Layout &layout, const char *name) {
  const int location = frame.chroma_location;
  if (location < ESR_CHROMA_LEFT || location > ESR_CHROMA_TOP) {
    fail(std::string(name) + " has the unknown chroma location " + std::to_string(location));
  }
  const bool is_left = location == ESR_CHROMA_LEFT || location == ESR_CHROMA_TOP_LEFT;
  const bool is_top = location == ESR_CHROMA_TOP || location == ESR_CHROMA_TOP_LEFT;
  constexpr float kCosited = -0.25F;
  ChromaPhase phase;
  if (layout.sub_x == 2 && is_left) phase.x = kCosited;
  if (layout.sub_y == 2 && is_top) phase.y = kCosited;
  return phase;
}

Plane frame_plane(const esr_frame &frame, int index, std::int32_t width, std::int32_t height) {
  return {static_cast<std::uint8_t *>(frame.data[index]),
          width,
          height,
          frame.stride_bytes[index],
          frame.bit_depth == 8 ? SampleType::kUint8 : SampleType::kUint16,
          frame.bit_depth};
}

void add_chroma(const esr_frame &frame, const Layout &layout, const char *name,
                FramePlanes *planes) {
  const std::int32_t width = (frame.width + layout.sub_x - 1) / layout.sub_x;
  const std::int32_t height = (frame.height + layout.sub_y - 1) / layout.sub_y;
  const int step = layout.is_interleaved ? 2 : 1;
  planes->num_chroma = 2;
  planes->num_areas = layout.is_interleaved ? 2 : 3;
  for (int i = 1; i < planes->num_areas; ++i) {
    const Plane plane = frame_plane(frame, i, width, height);
    planes->areas[i] =
        checked_area(rows_of(plane, step), std::string(name) + " plane " + std::to_string(i));
    planes->chroma[i - 1] = {plane, step};
  }
  if (layout.is_interleaved) {
    planes->chroma[1] = planes->chroma[0];
    planes->chroma[1].plane.data += bytes_of(planes->luma.type);
  }
}

}  // namespace

Plane checked_plane(const esr_plane &plane, const char *name) {
  check_side(plane.width, plane.height, kLargestSide * 4, name);
  const Plane view{static_cast<std::uint8_t *>(plane.data),
                   plane.width,
                   plane.height,
                   plane.stride_bytes,
                   sample_type_of(plane, name),
                   plane.bit_depth};
  checked_area(rows_of(view, 1), name);
  return view;
}

void check_pair(const Plane &lr, const Plane &sr, int scale) {
  check_likeness(lr, sr, scale);
  if (overlap(checked_area(rows_of(lr, 1), "lr"), checked_area(rows_of(sr, 1), "sr"))) {
    fail("lr and sr overlap in memory");
  }
}

FramePlanes checked_frame(const esr_frame &frame, const char *name) {
  const Layout layout = layout_of(frame, name);
  check_side(frame.width, frame.height, kLargestSide * 4, name);
  check_depth(frame, layout, name);
  FramePlanes planes;
  planes.phase = phase_of(frame, layout, name);
  planes.low_bits = layout.is_high ? 16 - frame.bit_depth : 0;
  planes.luma = frame_plane(frame, 0, frame.width, frame.height);
  planes.areas[0] = checked_area(rows_of(planes.luma, 1), std::string(name) + " plane 0");
  if (layout.has_chroma) add_chroma(frame, layout, name, &planes);
  return planes;
}

void check_frames(const esr_frame &lr_frame, const FramePlanes &lr, const esr_frame &sr_frame,
                  const FramePlanes &sr, int scale) {
  if (lr_frame.format != sr_frame.format || lr_frame.chroma_location != sr_frame.chroma_location) {
    fail("lr and sr differ in format or chroma location");
  }
  check_likeness(lr.luma, sr.luma, scale);
  for (int i = 0; i < sr.num_areas; ++i) {
    for (int j = 0; j < lr.num_areas; ++j) {
      if (overlap(lr.areas[j], sr.areas[i])) fail("lr and sr overlap in memory");
    }
    for (int j = 0; j < i; ++j) {
      if (overlap(sr.areas[j], sr.areas[i])) {
        fail("sr planes " + std::to_string(j) + " and " + std::to_string(i) + " overlap in memory");
      }
    }
  }
}

}  // namespace esr
