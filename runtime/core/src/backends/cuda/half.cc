#include "backends/cuda/half.h"

#include <cmath>
#include <cstring>

namespace esr::cuda {

std::uint16_t half_from_float(float value) {
  std::uint32_t bits = 0;
  std::memcpy(&bits, &value, sizeof(bits));
  const std::uint32_t sign = bits >> 16 & 0x8000U;
  const std::uint32_t magnitude = bits & 0x7FFFFFFFU;
  if (magnitude > 0x7F800000U) return static_cast<std::uint16_t>(sign | 0x7FFFU);
  if (magnitude >= 0x477FF000U) return static_cast<std::uint16_t>(sign | 0x7C00U);
  if (magnitude < 0x38800000U) {
    // Below 2^-14 the distance between half floats is 2^-24.
    const float steps = std::nearbyint(std::fabs(value) * 16777216.0F);
    return static_cast<std::uint16_t>(sign | static_cast<std::uint32_t>(steps));
  }
  const std::uint32_t rounded = magnitude + 0xFFFU + (magnitude >> 13 & 1U);
  return static_cast<std::uint16_t>(sign | (rounded - 0x38000000U) >> 13);
}

float float_from_half(std::uint16_t half) {
  const std::uint32_t sign = std::uint32_t{half} << 16 & 0x80000000U;
  const std::uint32_t magnitude = half & 0x7FFFU;
  if (magnitude < 0x400U) {
    const float value = static_cast<float>(magnitude) / 16777216.0F;
    return sign != 0U ? -value : value;
  }
  const std::uint32_t exponent = magnitude >= 0x7C00U ? 0x70000000U : 0x38000000U;
  const std::uint32_t bits = sign | ((magnitude << 13) + exponent);
  float value = 0.0F;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

}  // namespace esr::cuda
