// Half floats on the host.
#pragma once

#include <cstdint>

namespace esr::cuda {

constexpr float kLargestHalf = 65504.0F;

// Rounded to nearest even; beyond the largest half float it is infinite.
std::uint16_t half_from_float(float value);

float float_from_half(std::uint16_t half);

}  // namespace esr::cuda
