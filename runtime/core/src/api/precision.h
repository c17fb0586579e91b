// Which precision a device runs for what esr_options asks.
#pragma once

#include <edge_sr/edge_sr.h>

#include <string>

#include "backends/native/engine.h"
#include "backends/native/network.h"
#include "bundle/manifest.h"

namespace esr {

// The precision to ask of the engine. Throw Error(kInvalidArgument) for one that does not exist or
// that the bundle lacks, Error(kUnsupported) for one that the device does not run.
std::string precision_of(const Manifest &manifest, const esr_options &options);
std::string precision_of(const native::Network &network, const esr_options &options);

// Of the CPU engine.
native::Precision native_precision(const std::string &name);

}  // namespace esr
