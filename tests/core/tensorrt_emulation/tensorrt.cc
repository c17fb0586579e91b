// What environment variables make of it: FAKE_TENSORRT is its version, FAKE_RUNS the precision that
// the inspector tells, FAKE_FAILS the step that fails (build, context, second context, record,
// frame).
#include <NvInfer.h>
#include <NvOnnxParser.h>

#include <cstdio>
#include <cstdlib>

#include "backends/native/network_file.h"
#include "base/sha256.h"
#include "bundle/bundle.h"

namespace {

using nvinfer1::DataType;
using nvinfer1::Dims;
using nvinfer1::ILogger;
using nvinfer1::LayerType;

int contexts = 0;

std::string setting(const char *name, const char *usual) {
  const char *value = std::getenv(name);
  return value != nullptr ? value : usual;
}

bool fails(const char *step) { return setting("FAKE_FAILS", "") == step; }

std::string version() { return setting("FAKE_TENSORRT", "10.3.0"); }

int version_part(int index) {
  int parts[3] = {};
  std::sscanf(version().c_str(), "%d.%d.%d", parts, parts + 1, parts + 2);
  return parts[index];
}

void log_error(ILogger *logger, const std::string &text) {
  logger->log(ILogger::Severity::kWARNING, "a warning that nobody sees");
  logger->log(ILogger::Severity::kERROR, text.c_str());
}

std::string precision_of(const std::string &graph) { return graph.substr(6, 4); }

bool is_twin(const std::string &graph) { return graph.find(".f32.") != std::string::npos; }

esr::native::Precision engine_precision(const std::string &name) {
  return name == "int8" ? esr::native::Precision::kInt8 : esr::native::Precision::kFp32;
}

}  // namespace

int getInferLibMajorVersion() noexcept { return version_part(0); }
int getInferLibMinorVersion() noexcept { return version_part(1); }
int getInferLibPatchVersion() noexcept { return version_part(2); }

// ---- Building ----

namespace nvonnxparser {

IParser *createParser(nvinfer1::INetworkDefinition &network, ILogger &) {
  auto *parser = new IParser;
  parser->network = &network;
  return parser;
}

bool IParser::parse(const void *graph, std::size_t size) {
  const esr::Manifest manifest = esr::read_manifest(ESR_READY_BUNDLE);
  const std::string digest = esr::sha256(static_cast<const std::uint8_t *>(graph), size);
  for (const auto &[name, entry] : manifest.files) {
    if (entry.sha256 == digest) network->graph = name;
  }
  if (network->graph.empty()) return false;
  const std::string precision = precision_of(network->graph);
  const DataType type = precision == "fp16" ? DataType::kHALF : DataType::kFLOAT;
  const LayerType before = precision == "int8" ? LayerType::kDEQUANTIZE : LayerType::kCAST;
  network->layers = {
      {before, "/first/Before", {"lr", DataType::kUINT8}, {"/first/before", type}},
      {LayerType::kCONVOLUTION, "/first/Conv", {"/first/before", type}, {"sr", type}}};
  return true;
}

}  // namespace nvonnxparser

namespace nvinfer1 {

IBuilder *createInferBuilder(ILogger &logger) {
  auto *builder = new IBuilder;
  builder->logger = &logger;
  return builder;
}

INetworkDefinition *IBuilder::createNetworkV2(std::uint32_t flags) {
  auto *network = new INetworkDefinition;
  network->is_strongly_typed =
      flags == 1U << static_cast<unsigned>(NetworkDefinitionCreationFlag::kSTRONGLY_TYPED);
  return network;
}

IOptimizationProfile *IBuilder::createOptimizationProfile() {
  profiles.push_back(std::make_unique<IOptimizationProfile>());
  return profiles.back().get();
}

bool IOptimizationProfile::setDimensions(const char *name, OptProfileSelector, const Dims &size) {
  sizes.push_back(size);
  return std::string(name) == "lr" && size.nbDims == 4;
}

int IBuilderConfig::addOptimizationProfile(IOptimizationProfile *given) {
  profile = given;
  return given->sizes.size() == 3 ? 0 : -1;
}

ITimingCache *IBuilderConfig::createTimingCache(const void *data, std::size_t size) const {
  return new ITimingCache{{static_cast<const char *>(data), size}};
}

bool IBuilderConfig::setTimingCache(ITimingCache &given, bool) {
  if (!given.text.empty() && given.text != "tactics of " + version()) return false;
  tactics = &given;
  return true;
}

IHostMemory *IBuilder::buildSerializedNetwork(INetworkDefinition &network, IBuilderConfig &config) {
  const bool is_right = network.is_strongly_typed && !config.has_tf32 && config.level == 3 &&
                        config.verbosity == ProfilingVerbosity::kDETAILED && config.profile &&
                        !network.graph.empty();
  if (!is_right || fails("build")) {
    log_error(logger, "no tactic\nis left");
    return nullptr;
  }
  if (config.tactics != nullptr) config.tactics->text = "tactics of " + version();
  const Dims &frame = config.profile->sizes[0];
  return new IHostMemory{version() + " " + network.graph + " " + std::to_string(frame.d[3]) + "x" +
                         std::to_string(frame.d[2])};
}

// ---- Running ----

IRuntime *createInferRuntime(ILogger &logger) {
  auto *runtime = new IRuntime;
  runtime->logger = &logger;
  return runtime;
}

ICudaEngine *IRuntime::deserializeCudaEngine(const void *data, std::size_t size) {
  const std::string plan(static_cast<const char *>(data), size);
  char made_by[20];
  char graph[40];
  int width = 0;
  int height = 0;
  const int found = std::sscanf(plan.c_str(), "%19s %39s %dx%d", made_by, graph, &width, &height);
  if (found != 4 || made_by != version()) {
    log_error(logger, "the plan is of another version");
    return nullptr;
  }
  auto *engine = new ICudaEngine;
  engine->logger = logger;
  engine->precision = precision_of(graph);
  engine->is_twin = ::is_twin(graph);
  engine->frame = {4, {1, 1, height, width}};
  return engine;
}

IEngineInspector *ICudaEngine::createEngineInspector() const {
  const std::string runs = setting("FAKE_RUNS", precision.c_str());
  return new IEngineInspector{"{\"Name\": \"/first/Conv + relu\", \"Weights\": {\"Type\": \"" +
                              runs + "\"}}"};
}

IExecutionContext *ICudaEngine::createExecutionContext() const {
  if (fails("context") || (fails("second context") && contexts > 0)) return nullptr;
  const std::vector<std::uint8_t> data = esr::read_bundle(ESR_READY_BUNDLE).native_model;
  const auto network = esr::native::parse_network(data.data(), data.size());
  auto *context = new IExecutionContext;
  context->frame = frame;
  context->is_twin = is_twin;
  context->logger = logger;
  context->engine = std::make_shared<esr::native::Engine>(network, engine_precision(precision));
  return context;
}

IExecutionContext::IExecutionContext() { ++contexts; }

IExecutionContext::~IExecutionContext() { --contexts; }

bool IExecutionContext::setInputShape(const char *name, const Dims &size) {
  return std::string(name) == "lr" && size.d[2] == frame.d[2] && size.d[3] == frame.d[3];
}

Dims IExecutionContext::getTensorShape(const char *) const {
  return {4, {1, 1, frame.d[2] * engine->scale(), frame.d[3] * engine->scale()}};
}

bool IExecutionContext::setInputTensorAddress(const char *name, const void *data) {
  lr = data;
  return std::string(name) == "lr" && reinterpret_cast<std::uintptr_t>(data) % 256 == 0;
}

bool IExecutionContext::setTensorAddress(const char *name, void *data) {
  sr = data;
  return std::string(name) == "sr" && reinterpret_cast<std::uintptr_t>(data) % 256 == 0;
}

bool IExecutionContext::enqueueV3(cudaStream_t stream) {
  const bool is_recorded = fake_is_recording(stream);
  if (fails("frame") || (is_recorded && (!has_run || fails("record")))) {
    log_error(logger, "it cannot run now");
    return false;
  }
  has_run = true;
  const auto type = is_twin ? esr::SampleType::kFloat32 : esr::SampleType::kUint8;
  const auto width = static_cast<std::int32_t>(frame.d[3]);
  const auto height = static_cast<std::int32_t>(frame.d[2]);
  const auto row = static_cast<std::ptrdiff_t>(esr::bytes_of(type)) * width;
  const int scale = engine->scale();
  const esr::ConstPlane from{static_cast<const std::uint8_t *>(lr), width, height, row, type, 8};
  const esr::Plane to{
      static_cast<std::uint8_t *>(sr), width * scale, height * scale, row * scale, type, 8};
  return fake_put(stream, [from, to, engine = engine] {
           esr::ThreadPool pool(1);
           engine->run(from, to, pool);
         }) == cudaSuccess;
}

}  // namespace nvinfer1
