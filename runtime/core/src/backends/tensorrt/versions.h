// TensorRT's headers, and all that differs between 10.3 and 11.
#pragma once

#include <NvInfer.h>
#include <NvOnnxParser.h>

#include <cstdint>

#if NV_TENSORRT_MAJOR < 10 || (NV_TENSORRT_MAJOR == 10 && NV_TENSORRT_MINOR < 3)
#error "TensorRT is older than 10.3"
#endif

namespace esr::tensorrt {

// Every tensor has the type that the graph gives it. 11 knows no other networks, and neither of
// them others than those with explicit batches.
#if NV_TENSORRT_MAJOR >= 11
constexpr std::uint32_t kStronglyTyped = 0;
#else
constexpr std::uint32_t kStronglyTyped =
    1U << static_cast<std::uint32_t>(nvinfer1::NetworkDefinitionCreationFlag::kSTRONGLY_TYPED);
#endif

}  // namespace esr::tensorrt
