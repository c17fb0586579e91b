// The part of TensorRT that the plugin uses, over the CPU engine: graphs are those of the ready
// bundle, a plan is a line of text, a context runs model.native.
//
// What the plugin must not forget is refused: strong types, TF32 off, detailed verbosity, a profile
// of one size, aligned memory, a run before one is recorded.
#pragma once

#define NV_TENSORRT_MAJOR 10
#define NV_TENSORRT_MINOR 3

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "backends/native/engine.h"

int getInferLibMajorVersion() noexcept;
int getInferLibMinorVersion() noexcept;
int getInferLibPatchVersion() noexcept;

namespace nvinfer1 {

struct Dims {
  std::int32_t nbDims;
  std::int64_t d[8];
};

enum class DataType { kFLOAT, kHALF, kBF16, kINT8, kUINT8 };
enum class LayerType { kCONVOLUTION, kDECONVOLUTION, kCAST, kDEQUANTIZE };
enum class OptProfileSelector { kMIN, kOPT, kMAX };
enum class ProfilingVerbosity { kLAYER_NAMES_ONLY, kDETAILED };
enum class BuilderFlag { kTF32 };
enum class NetworkDefinitionCreationFlag { kEXPLICIT_BATCH, kSTRONGLY_TYPED };
enum class LayerInformationFormat { kJSON };

class ILogger {
 public:
  enum class Severity { kINTERNAL_ERROR, kERROR, kWARNING, kINFO, kVERBOSE };
  virtual ~ILogger() = default;
  virtual void log(Severity severity, const char *text) noexcept = 0;
};

class ITensor {
 public:
  const char *getName() const { return name.c_str(); }
  DataType getType() const { return type; }

  std::string name;
  DataType type;
};

class ILayer {
 public:
  LayerType getType() const { return type; }
  const char *getName() const { return name.c_str(); }
  int getNbOutputs() const { return 1; }
  ITensor *getInput(int) const { return const_cast<ITensor *>(&input); }
  ITensor *getOutput(int) const { return const_cast<ITensor *>(&output); }

  LayerType type;
  std::string name;
  ITensor input;
  ITensor output;
};

class INetworkDefinition {
 public:
  int getNbInputs() const { return 1; }
  int getNbOutputs() const { return 1; }
  ITensor *getInput(int) { return &lr; }
  ITensor *getOutput(int) { return &sr; }
  int getNbLayers() const { return static_cast<int>(layers.size()); }
  ILayer *getLayer(int i) const { return const_cast<ILayer *>(&layers[std::size_t(i)]); }

  ITensor lr{"lr", DataType::kUINT8};
  ITensor sr{"sr", DataType::kUINT8};
  std::vector<ILayer> layers;
  std::string graph;  // its file name in the bundle
  bool is_strongly_typed = false;
};

class IHostMemory {
 public:
  void *data() const { return const_cast<char *>(text.data()); }
  std::size_t size() const { return text.size(); }

  std::string text;
};

class IOptimizationProfile {
 public:
  bool setDimensions(const char *name, OptProfileSelector which, const Dims &size);

  std::vector<Dims> sizes;
};

class ITimingCache {
 public:
  IHostMemory *serialize() const { return new IHostMemory{text}; }

  std::string text;
};

class IBuilderConfig {
 public:
  void setBuilderOptimizationLevel(int given) { level = given; }
  void setProfilingVerbosity(ProfilingVerbosity given) { verbosity = given; }
  void clearFlag(BuilderFlag) { has_tf32 = false; }
  int addOptimizationProfile(IOptimizationProfile *given);
  ITimingCache *createTimingCache(const void *data, std::size_t size) const;
  bool setTimingCache(ITimingCache &given, bool ignore_mismatch);
  const ITimingCache *getTimingCache() const { return tactics; }

  int level = 0;
  ProfilingVerbosity verbosity = ProfilingVerbosity::kLAYER_NAMES_ONLY;
  bool has_tf32 = true;
  IOptimizationProfile *profile = nullptr;
  ITimingCache *tactics = nullptr;
};

class IBuilder {
 public:
  INetworkDefinition *createNetworkV2(std::uint32_t flags);
  IBuilderConfig *createBuilderConfig() { return new IBuilderConfig; }
  IOptimizationProfile *createOptimizationProfile();
  IHostMemory *buildSerializedNetwork(INetworkDefinition &network, IBuilderConfig &config);

  ILogger *logger = nullptr;
  std::vector<std::unique_ptr<IOptimizationProfile>> profiles;
};

class IEngineInspector {
 public:
  const char *getLayerInformation(int, LayerInformationFormat) const { return text.c_str(); }

  std::string text;
};

class IExecutionContext {
 public:
  IExecutionContext();
  ~IExecutionContext();
  IExecutionContext(const IExecutionContext &) = delete;
  IExecutionContext &operator=(const IExecutionContext &) = delete;
  bool setInputShape(const char *name, const Dims &size);
  Dims getTensorShape(const char *name) const;
  bool setInputTensorAddress(const char *name, const void *data);
  bool setTensorAddress(const char *name, void *data);
  bool enqueueV3(cudaStream_t stream);

  Dims frame{};  // that the plan is for
  bool is_twin = false;
  bool has_run = false;
  ILogger *logger = nullptr;
  const void *lr = nullptr;
  void *sr = nullptr;
  std::shared_ptr<esr::native::Engine> engine;
};

class ICudaEngine {
 public:
  int getNbLayers() const { return 1; }
  IEngineInspector *createEngineInspector() const;
  IExecutionContext *createExecutionContext() const;

  ILogger *logger = nullptr;
  std::string precision;
  bool is_twin = false;
  Dims frame{};
};

class IRuntime {
 public:
  void setEngineHostCodeAllowed(bool) {}
  ICudaEngine *deserializeCudaEngine(const void *data, std::size_t size);

  ILogger *logger = nullptr;
};

IBuilder *createInferBuilder(ILogger &logger);
IRuntime *createInferRuntime(ILogger &logger);

}  // namespace nvinfer1
