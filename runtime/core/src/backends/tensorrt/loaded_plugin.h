// The TensorRT plugin of this process, and its answers as errors.
#pragma once

#include "backends/tensorrt/plugin.h"

namespace esr::tensorrt {

// Throws Error(kUnsupported), saying why, where there is none.
const Plugin &loaded_plugin();

// Throws unless the plugin answered kOk.
void check(PluginStatus status, const PluginMessage &message);

}  // namespace esr::tensorrt
