// Finds libedge_sr_cuda at run time.
#pragma once

#include "backends/cuda/plugin.h"

namespace esr::cuda {

// The plugin that lies in the folder of the library or program that holds this code; loaded once
// and never unloaded. Throws Error(kUnsupported) where there is none or it is of another release.
const Plugin &load_plugin();

}  // namespace esr::cuda
