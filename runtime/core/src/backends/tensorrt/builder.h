// ONNX bytes to a plan, by TensorRT's own parser. Precision lives in the graph: the network is
// strongly typed, and no flag chooses it.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "backends/tensorrt/plugin.h"
#include "backends/tensorrt/versions.h"

namespace esr::tensorrt {

// Names of the input and the output of every graph.
constexpr const char *kInput = "lr";
constexpr const char *kOutput = "sr";

// Holds what its BuiltPlan shows.
class Built final : public BuiltPlan {
 public:
  // For the device that is in use. Throws Refusal.
  explicit Built(const BuildRequest &request);
  Built(const Built &) = delete;
  Built &operator=(const Built &) = delete;

 private:
  void inspect();  // of each layer of the engine

  std::unique_ptr<nvinfer1::IHostMemory> plan_;
  std::unique_ptr<nvinfer1::IHostMemory> timing_cache_;
  std::vector<std::pair<std::string, std::string>> asked_;  // convolution, precision
  std::vector<AskedLayer> layers_;
  std::vector<std::string> reports_;
  std::vector<const char *> report_texts_;
};

}  // namespace esr::tensorrt
