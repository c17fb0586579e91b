#include "image/geometry.h"

#include <algorithm>
#include <cstdlib>
#include <functional>
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

// `samples` of a row include those of other components that lie between.
void check_memory(const void *data, std::ptrdiff_t stride, std::int64_t samples, std::size_t bytes,
                  const char *name) {
  if (data == nullptr) fail(std::string(name) + " has no data");
  const std::int64_t row = samples * static_cast<std::int64_t>(bytes);
  constexpr std::int64_t kLargestStride = std::int64_t{1} << 30;
  // The negation of the smallest stride overflows; compare both signs instead.
  const bool is_bounded = stride >= -kLargestStride && stride <= kLargestStride;
  if (!is_bounded || (stride < row && stride > -row)) {
    fail(std::string(name) + " has a stride of " + std::to_string(stride) +
         " bytes, its rows have " + std::to_string(row));
  }
  const auto address = reinterpret_cast<std::uintptr_t>(data);
  if (address % bytes != 0 || stride % static_cast<std::ptrdiff_t>(bytes) != 0) {
    fail(std::string(name) + " is not aligned to its samples of " + std::to_string(bytes) +
         " bytes");
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

struct Bytes {
  const std::uint8_t *begin;
  const std::uint8_t *end;
};

Bytes extent(const Plane &plane, std::int64_t samples) {
  const std::uint8_t *first = plane.row(0);
  const std::uint8_t *last = plane.row(plane.height - 1);
  const auto row =
      static_cast<std::ptrdiff_t>(samples) * static_cast<std::ptrdiff_t>(bytes_of(plane.type));
  return {std::min(first, last, std::less<>()), std::max(first, last, std::less<>()) + row};
}

void check_apart(const Plane &lr, const Plane &sr, std::int64_t lr_samples,
                 std::int64_t sr_samples) {
  const Bytes a = extent(lr, lr_samples);
  const Bytes b = extent(sr, sr_samples);
  if (std::less<>()(a.begin, b.end) && std::less<>()(b.begin, a.end)) {
    fail("lr and sr overlap in memory");
  }
}

struct Layout {
  int sub_x = 1;  // luma samples per chroma sample
  int sub_y = 1;
  bool has_chroma = true;
  bool is_interleaved = false;
};

Layout layout_of(const esr_frame &frame, const char *name) {
  switch (frame.format) {
    case ESR_FORMAT_GREY:
      return {1, 1, false, false};
    case ESR_FORMAT_YUV420P:
      return {2, 2, true, false};
    case ESR_FORMAT_YUV422P:
      return {2, 1, true, false};
    case ESR_FORMAT_YUV444P:
      return {1, 1, true, false};
    case ESR_FORMAT_NV12:
      return {2, 2, true, true};
  }
  fail(std::string(name) + " has the unknown format " +
       std::to_string(static_cast<int>(frame.format)));
}

ChromaPhase phase_of(const esr_frame &frame, const Layout &layout, const char *name) {
  const int location = frame.chroma_location;
  if (location < ESR_CHROMA_LEFT || location > ESR_CHROMA_TOP_LEFT) {
    fail(std::string(name) + " has the unknown chroma location " + std::to_string(location));
  }
  constexpr float kCosited = -0.25F;
  ChromaPhase phase;
  if (layout.sub_x == 2 && location != ESR_CHROMA_CENTER) phase.x = kCosited;
  if (layout.sub_y == 2 && location == ESR_CHROMA_TOP_LEFT) phase.y = kCosited;
  return phase;
}

Plane frame_plane(const esr_frame &frame, int index, std::int32_t width, std::int32_t height,
                  int samples_per_pixel, const char *name) {
  const SampleType type = frame.bit_depth == 8 ? SampleType::kUint8 : SampleType::kUint16;
  check_memory(frame.data[index], frame.stride_bytes[index],
               static_cast<std::int64_t>(width) * samples_per_pixel, bytes_of(type), name);
  return {static_cast<std::uint8_t *>(frame.data[index]),
          width,
          height,
          frame.stride_bytes[index],
          type,
          frame.bit_depth};
}

}  // namespace

Plane checked_plane(const esr_plane &plane, const char *name) {
  check_side(plane.width, plane.height, kLargestSide * 4, name);
  const SampleType type = sample_type_of(plane, name);
  check_memory(plane.data, plane.stride_bytes, plane.width, bytes_of(type), name);
  return {static_cast<std::uint8_t *>(plane.data),
          plane.width,
          plane.height,
          plane.stride_bytes,
          type,
          plane.bit_depth};
}

void check_pair(const Plane &lr, const Plane &sr, int scale) {
  check_side(lr.width, lr.height, kLargestSide, "lr");
  if (sr.width != lr.width * scale || sr.height != lr.height * scale) {
    fail("sr of " + size_text(sr.width, sr.height) + " is not " + std::to_string(scale) +
         " times lr of " + size_text(lr.width, lr.height));
  }
  if (sr.type != lr.type || sr.bit_depth != lr.bit_depth) {
    fail("lr and sr differ in sample type or bit depth");
  }
  check_apart(lr, sr, lr.width, sr.width);
}

FramePlanes checked_frame(const esr_frame &frame, const char *name) {
  const Layout layout = layout_of(frame, name);
  check_side(frame.width, frame.height, kLargestSide * 4, name);
  if (frame.bit_depth < 8 || frame.bit_depth > 16) {
    fail(std::string(name) + " has " + std::to_string(frame.bit_depth) + " bits, not 8..16");
  }
  FramePlanes planes;
  planes.phase = phase_of(frame, layout, name);
  planes.luma = frame_plane(frame, 0, frame.width, frame.height, 1, name);
  if (!layout.has_chroma) return planes;
  planes.num_chroma = 2;
  const std::int32_t width = (frame.width + layout.sub_x - 1) / layout.sub_x;
  const std::int32_t height = (frame.height + layout.sub_y - 1) / layout.sub_y;
  for (int c = 0; c < 2; ++c) {
    if (layout.is_interleaved) {
      Plane plane = frame_plane(frame, 1, width, height, 2, name);
      plane.data += static_cast<std::ptrdiff_t>(bytes_of(plane.type)) * c;
      planes.chroma[c] = {plane, 2};
    } else {
      planes.chroma[c] = {frame_plane(frame, 1 + c, width, height, 1, name), 1};
    }
  }
  return planes;
}

void check_frames(const esr_frame &lr_frame, const FramePlanes &lr, const esr_frame &sr_frame,
                  const FramePlanes &sr, int scale) {
  if (lr_frame.format != sr_frame.format || lr_frame.chroma_location != sr_frame.chroma_location) {
    fail("lr and sr differ in format or chroma location");
  }
  check_pair(lr.luma, sr.luma, scale);
  for (int c = 0; c < lr.num_chroma; ++c) {
    check_apart(lr.chroma[c].plane, sr.chroma[c].plane,
                static_cast<std::int64_t>(lr.chroma[c].plane.width - 1) * lr.chroma[c].step + 1,
                static_cast<std::int64_t>(sr.chroma[c].plane.width - 1) * sr.chroma[c].step + 1);
  }
}

}  // namespace esr
