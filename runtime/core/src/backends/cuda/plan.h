// How a frame is cut into passes and tiles for one device: pure arithmetic.
#pragma once

#include <cstdint>
#include <vector>

#include "backends/cuda/pass_builder.h"

namespace esr::cuda {

struct FramePlan {
  std::int32_t width = 0;
  std::int32_t height = 0;
  std::int64_t map_bytes = 0;  // of the largest map between two passes
  std::vector<PassPlan> passes;
};

// The cheapest passes and tiles for the frame. Throws Error(kUnsupported) if a stage's window does
// not fit into the device's shared memory.
FramePlan plan_frame(const Chain &chain, const DeviceFacts &device, int width, int height);

// The passes with tiles of one size, cut before the stages whose numbers are given.
FramePlan plan_frame_with(const Chain &chain, const DeviceFacts &device, int width, int height,
                          const std::vector<int> &cuts, CoreSize core);

}  // namespace esr::cuda
