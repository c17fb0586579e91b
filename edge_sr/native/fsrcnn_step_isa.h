// One step for each instruction set that the build has; fsrcnn_step.cc chooses.
#pragma once

#include "fsrcnn_step.h"

namespace esr::training {

std::unique_ptr<FsrcnnStep> make_step_avx2(const Network &network, int height, int width,
                                           int threads);
std::unique_ptr<FsrcnnStep> make_step_avx512(const Network &network, int height, int width,
                                             int threads);

}  // namespace esr::training
