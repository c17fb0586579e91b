// A 2-D view of samples it does not own.
#pragma once

#include <cstddef>
#include <cstdint>

namespace esr {

enum class SampleType : std::uint8_t { kUint8, kUint16, kFloat32 };

constexpr std::size_t bytes_of(SampleType type) {
  return type == SampleType::kUint8 ? 1 : type == SampleType::kUint16 ? 2 : 4;
}

// `stride` is in bytes and may be negative. Samples are luminance or chroma levels: uint8 holds 8
// bits, uint16 holds `bit_depth` bits (9 to 16), float32 holds grey levels on the 8-bit scale.
template <class Byte>
struct BasicPlane {
  Byte *data = nullptr;
  std::int32_t width = 0;
  std::int32_t height = 0;
  std::ptrdiff_t stride = 0;
  SampleType type = SampleType::kUint8;
  std::int32_t bit_depth = 8;

  Byte *row(std::int32_t y) const { return data + static_cast<std::ptrdiff_t>(y) * stride; }
};

using ConstPlane = BasicPlane<const std::uint8_t>;
using Plane = BasicPlane<std::uint8_t>;

}  // namespace esr
