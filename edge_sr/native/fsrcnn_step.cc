#include "fsrcnn_step.h"

#include "base/error.h"
#include "cpu/cpu_features.h"
#include "fsrcnn_step_isa.h"

namespace esr::training {

ParameterLayout::ParameterLayout(const Network &network) : map{}, parameters(0) {
  const auto take = [this](int in, int out, int k, bool with_slopes) {
    LayerPosition position{};
    position.weight = parameters;
    parameters += static_cast<std::ptrdiff_t>(in) * out * k * k;
    position.bias = parameters;
    parameters += out;
    position.slope = parameters;
    if (with_slopes) parameters += out;
    return position;
  };
  extract = take(1, network.d, 5, true);
  shrink = take(network.d, network.s, 1, true);
  for (int i = 0; i < network.m; ++i) map[i] = take(network.s, network.s, 3, true);
  expand = take(network.s, network.d, 1, true);
  tail = take(network.d, network.phases, network.last_tap - network.first_tap + 1, false);
  scales = network.m + 3;
}

std::unique_ptr<FsrcnnStep> make_fsrcnn_step(const Network &net, int height, int width,
                                             int threads) {
  const int taps = net.last_tap - net.first_tap + 1;
  const bool window = taps >= 1 && taps <= 5 && taps != 2 && net.first_tap >= -2 &&
                      net.first_tap <= 0 && net.last_tap >= 0 && net.last_tap <= 2;
  if (net.d < 1 || net.s < 1 || net.m < 0 || net.m > ParameterLayout::kMaxMaps || net.phases < 1 ||
      !window || height < 1 || width < 16 || width % 16 != 0 || threads < 1) {
    throw Error(Status::kInvalidArgument,
                "a training step needs positive sizes and a width that is a "
                "multiple of 16");
  }
#if defined(ESR_STEP_X86)
  if (cpu::supports(cpu::Isa::kAvx512)) return make_step_avx512(net, height, width, threads);
  if (cpu::supports(cpu::Isa::kAvx2)) return make_step_avx2(net, height, width, threads);
#endif
  throw Error(Status::kUnsupported, "the training step needs a CPU with AVX2");
}

bool has_fsrcnn_step() {
#if defined(ESR_STEP_X86)
  return cpu::supports(cpu::Isa::kAvx2);
#else
  return false;
#endif
}

}  // namespace esr::training
