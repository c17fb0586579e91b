#define ESR_STEP_LANES 16
#define ESR_STEP_ISA "avx512"
#include "fsrcnn_step.inc"
#include "fsrcnn_step_isa.h"

std::unique_ptr<FsrcnnStep> esr::training::make_step_avx512(const Network &network, int height,
                                                            int width, int threads) {
  return std::make_unique<Step>(network, height, width, threads);
}
