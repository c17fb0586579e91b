// A pass as the kernel takes it: numbers, and the constants behind them.
#pragma once

#include <cstdint>
#include <vector>

#include "backends/cuda/geometry.h"

namespace esr::cuda {

struct PassPlan {
  PassLayout layout{};
  std::int32_t blocks = 0;  // of the launch
  std::vector<std::uint8_t> constants;
};

PassPlan build_pass(const Chain &chain, const Geometry &geometry, const DeviceFacts &device,
                    int width, int height);

}  // namespace esr::cuda
