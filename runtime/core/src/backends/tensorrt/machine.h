// The machine that a plan is bound to.
#pragma once

#include <string>

#include "backends/tensorrt/plugin.h"

namespace esr::tensorrt {

// Release of the NVIDIA driver, such as "560.35.03"; empty where the kernel module does not say.
std::string driver_release(const std::string &path = "/proc/driver/nvidia/version");

// A canonical JSON object, equal to Python's for the same machine.
std::string machine_text(const DeviceFacts &facts, const std::string &driver);

// How a machine differs from the one that a plan was built for, such as "driver is 2, was 1".
std::string machine_changes(const std::string &now, const std::string &then);

}  // namespace esr::tensorrt
