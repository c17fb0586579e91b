// What esr_options asks to run on.
#pragma once

#include <edge_sr/edge_sr.h>

#include <cstdint>

namespace esr {

enum class DeviceKind : std::uint8_t { kCpu, kCuda, kTensorRT };

struct Device {
  DeviceKind kind;
  int number;  // of the GPU, as CUDA counts; 0 on a CPU
};

// Throws Error(kInvalidArgument).
Device device_of(const esr_options &options);

}  // namespace esr
