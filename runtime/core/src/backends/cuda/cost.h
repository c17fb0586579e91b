// What a pass is expected to cost: the planner's guess, in cycles.
#pragma once

#include "backends/cuda/geometry.h"

namespace esr::cuda {

// Of the busiest multiprocessor; docs/gpu.md tells what is counted.
double pass_cycles(const Chain &chain, const Geometry &geometry, const DeviceFacts &device,
                   int width, int height);

}  // namespace esr::cuda
