// A frame through the kernels on a CPU.
#pragma once

#include "backends/cuda/plan.h"
#include "cuda_emulation/emulation.h"
#include "image/plane.h"

namespace cuda_emulation {

// Runs a plan's passes. `sr` is `scale` times larger than `lr` and of its kind.
void run_frame(const esr::cuda::FramePlan &plan, const esr::ConstPlane &lr, const esr::Plane &sr,
               Order order = Order::kForward);

// The same for what the plugin is told of a frame.
void run_passes(const esr::cuda::FramePlan &plan, esr::cuda::FrameArguments frame,
                Order order = Order::kForward);

}  // namespace cuda_emulation
