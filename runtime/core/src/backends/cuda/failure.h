// What CUDA answers, as an exception and as a plugin's status. Plugins' alone: it includes CUDA's
// headers.
#pragma once

#include <cuda_runtime_api.h>

#include "backends/plugin.h"

namespace esr::cuda {

struct Failure {
  cudaError_t error;
};

inline void check(cudaError_t error) {
  if (error == cudaSuccess) return;
  cudaGetLastError();  // or the next call would report it again
  throw Failure{error};
}

inline PluginStatus status_of(cudaError_t error) {
  switch (error) {
    case cudaErrorMemoryAllocation:
      return PluginStatus::kOutOfMemory;
    case cudaErrorNoDevice:
    case cudaErrorInvalidDevice:
    case cudaErrorInsufficientDriver:
    case cudaErrorNoKernelImageForDevice:
    case cudaErrorUnsupportedPtxVersion:
    case cudaErrorInitializationError:
    case cudaErrorStubLibrary:
      return PluginStatus::kUnsupported;
    default:
      return PluginStatus::kFailed;
  }
}

inline const char *text_of(cudaError_t error) {
  int driver = 0;
  cudaDriverGetVersion(&driver);
  if (error == cudaErrorInsufficientDriver && driver == 0) return "no NVIDIA driver is installed";
  return cudaGetErrorString(error);
}

}  // namespace esr::cuda
