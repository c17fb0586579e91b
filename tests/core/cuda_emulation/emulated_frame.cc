#include "cuda_emulation/emulated_frame.h"

#include <vector>

#include "backends/cuda/frame_arguments.h"
#include "backends/cuda/pass_kernel.h"

namespace cuda_emulation {

using esr::cuda::FrameArguments;
using esr::cuda::PassPlan;

void run_passes(const esr::cuda::FramePlan &plan, FrameArguments frame, Order order) {
  std::vector<unsigned char> maps[2];
  for (std::vector<unsigned char> &map : maps) {
    map.assign(static_cast<std::size_t>(plan.map_bytes), 0xFF);
  }
  for (std::size_t i = 0; i < plan.passes.size(); ++i) {
    const PassPlan &pass = plan.passes[i];
    frame.constants = pass.constants.data();
    frame.input_map = maps[(i + 1) % 2].data();
    frame.output_map = maps[i % 2].data();
    const Launch shape{pass.blocks, 32 * pass.layout.warps,
                       static_cast<std::size_t>(pass.layout.shared_bytes), order};
    launch(shape, [&] { esr::cuda::run_pass(pass.layout, frame); });
  }
}

void run_frame(const esr::cuda::FramePlan &plan, const esr::ConstPlane &lr, const esr::Plane &sr,
               Order order) {
  run_passes(plan, esr::cuda::frame_arguments(lr, sr), order);
}

}  // namespace cuda_emulation
