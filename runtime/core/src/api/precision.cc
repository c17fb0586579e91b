#include "api/precision.h"

#include <algorithm>

#include "api/device.h"
#include "base/error.h"

namespace esr {
namespace {

using native::Precision;

[[noreturn]] void fail(const std::string &message) {
  throw Error(Status::kInvalidArgument, message);
}

[[noreturn]] void refuse(const std::string &message) { throw Error(Status::kUnsupported, message); }

bool has(const Manifest &manifest, const std::string &precision) {
  const std::vector<std::string> &present = manifest.precisions;
  return std::find(present.begin(), present.end(), precision) != present.end();
}

// What the CUDA engine runs whatever the bundle holds: fp32 weights are always there.
std::string cuda_precision(const esr_options &options) {
  const std::string wanted = options.precision != nullptr ? options.precision : "fp16";
  if (wanted == "fp16") return wanted;
  native_precision(wanted);
  refuse("device cuda runs fp16, not " + wanted);
}

// One that the bundle has a graph for.
std::string graph_precision(const Manifest &manifest, const esr_options &options) {
  const std::string wanted =
      options.precision != nullptr ? options.precision : manifest.default_precision;
  if (wanted != "fp16" && native_precision(wanted) == Precision::kBf16) {
    refuse("device tensorrt gets no bf16 graph; choose fp32, fp16 or int8");
  }
  if (!has(manifest, wanted)) {
    fail("the bundle holds no " + wanted + "; build it with --precision " + wanted);
  }
  return wanted;
}

}  // namespace

Precision native_precision(const std::string &name) {
  if (name == "fp32") return Precision::kFp32;
  if (name == "bf16") return Precision::kBf16;
  if (name == "int8") return Precision::kInt8;
  if (name == "fp16") {
    refuse("fp16 is for GPU engines; choose fp32, bf16 or int8, or device cuda or tensorrt");
  }
  fail("precision " + name.substr(0, 20) + " is not fp32, fp16, bf16 or int8");
}

std::string precision_of(const Manifest &manifest, const esr_options &options) {
  const DeviceKind kind = device_of(options).kind;
  if (kind == DeviceKind::kCuda) return cuda_precision(options);
  if (kind == DeviceKind::kTensorRT) return graph_precision(manifest, options);
  if (options.precision == nullptr) {
    // fp16 exists for GPUs; the same weights run here in fp32.
    return manifest.default_precision == "fp16" ? "fp32" : manifest.default_precision;
  }
  const std::string wanted = options.precision;
  const bool needs_int8 = native_precision(wanted) == Precision::kInt8;  // fp32 weights serve bf16
  if (needs_int8 && !has(manifest, wanted)) {
    fail("the bundle holds no int8; build it with --precision int8");
  }
  return wanted;
}

std::string precision_of(const native::Network &network, const esr_options &options) {
  if (device_of(options).kind == DeviceKind::kCuda) return cuda_precision(options);
  if (options.precision != nullptr) return options.precision;
  return network.has_int8 ? "int8" : "fp32";
}

}  // namespace esr
