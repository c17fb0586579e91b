#include "backends/tensorrt/builder.h"

#include <cstddef>
#include <map>

#include "backends/tensorrt/refusal.h"

namespace esr::tensorrt {
namespace {

using nvinfer1::DataType;
using nvinfer1::IBuilder;
using nvinfer1::IBuilderConfig;
using nvinfer1::ILayer;
using nvinfer1::INetworkDefinition;
using nvinfer1::LayerType;
using nvinfer1::OptProfileSelector;

constexpr int kLevel = 3;

const char *name_of(DataType type) {
  switch (type) {
    case DataType::kFLOAT:
      return "fp32";
    case DataType::kHALF:
      return "fp16";
    case DataType::kBF16:
      return "bf16";
    default:
      return "another type";
  }
}

std::string errors_of(const nvonnxparser::IParser &parser) {
  std::string text;
  for (int i = 0; i < parser.getNbErrors(); ++i) {
    const nvonnxparser::IParserError *error = parser.getError(i);
    const char *node = error->nodeName();
    const bool is_named = node != nullptr && *node != '\0';
    text += (i > 0 ? "; " : "") + std::string(is_named ? node : "graph") + ": " + error->desc();
  }
  return text.empty() ? Logger::only().last_error() : text;
}

[[noreturn]] void refuse_graph(const std::string &text) {
  throw Refusal{PluginStatus::kModelFormat, text};
}

// The parser holds the weights until the network is built.
std::unique_ptr<nvonnxparser::IParser> parsed(const Bytes &graph, INetworkDefinition *network) {
  std::unique_ptr<nvonnxparser::IParser> parser(
      required(nvonnxparser::createParser(*network, Logger::only()), "it makes no parser"));
  if (!parser->parse(graph.data, static_cast<std::size_t>(graph.size))) {
    refuse_graph("it cannot read the graph: " + errors_of(*parser));
  }
  if (network->getNbInputs() != 1 || network->getNbOutputs() != 1) {
    refuse_graph("the graph does not have one input and one output");
  }
  const std::string input = network->getInput(0)->getName();
  const std::string output = network->getOutput(0)->getName();
  if (input != kInput || output != kOutput) {
    refuse_graph("the graph goes from " + input + " to " + output + ", not from lr to sr");
  }
  return parser;
}

void add_profile(const BuildRequest &request, IBuilder *builder, IBuilderConfig *config) {
  nvinfer1::IOptimizationProfile *const profile =
      required(builder->createOptimizationProfile(), "it makes no profile");
  const nvinfer1::Dims frame{4, {1, 1, request.height, request.width}};
  for (const auto which :
       {OptProfileSelector::kMIN, OptProfileSelector::kOPT, OptProfileSelector::kMAX}) {
    require(profile->setDimensions(kInput, which, frame), "it refused the frame's size");
  }
  require(config->addOptimizationProfile(profile) >= 0, "it refused the frame's size");
}

void configure(IBuilderConfig *config) {
  config->setBuilderOptimizationLevel(kLevel);
  config->setProfilingVerbosity(nvinfer1::ProfilingVerbosity::kDETAILED);
  // FP32 means 23 bits of fraction; TF32, which TensorRT takes for it by default, has 10.
  config->clearFlag(nvinfer1::BuilderFlag::kTF32);
}

// Tactics of another TensorRT are left out.
std::unique_ptr<nvinfer1::ITimingCache> add_tactics(const Bytes &tactics, IBuilderConfig *config) {
  std::unique_ptr<nvinfer1::ITimingCache> cache(
      config->createTimingCache(tactics.data, static_cast<std::size_t>(tactics.size)));
  if (cache != nullptr && config->setTimingCache(*cache, true)) return cache;
  cache.reset(config->createTimingCache(nullptr, 0));
  if (cache != nullptr) config->setTimingCache(*cache, true);
  return cache;
}

// Each convolution of a parsed network with the precision that its input's type asks for.
std::vector<std::pair<std::string, std::string>> asked_precisions(
    const INetworkDefinition &network) {
  std::map<std::string, LayerType> producers;
  for (int i = 0; i < network.getNbLayers(); ++i) {
    const ILayer &layer = *network.getLayer(i);
    for (int k = 0; k < layer.getNbOutputs(); ++k) {
      producers[layer.getOutput(k)->getName()] = layer.getType();
    }
  }
  std::vector<std::pair<std::string, std::string>> asked;
  for (int i = 0; i < network.getNbLayers(); ++i) {
    const ILayer &layer = *network.getLayer(i);
    const LayerType type = layer.getType();
    if (type != LayerType::kCONVOLUTION && type != LayerType::kDECONVOLUTION) continue;
    const nvinfer1::ITensor &source = *layer.getInput(0);
    const auto producer = producers.find(source.getName());
    const bool is_int8 = producer != producers.end() && producer->second == LayerType::kDEQUANTIZE;
    asked.emplace_back(layer.getName(), is_int8 ? "int8" : name_of(source.getType()));
  }
  return asked;
}

Bytes bytes_of(const nvinfer1::IHostMemory *memory) {
  if (memory == nullptr) return {nullptr, 0};
  return {memory->data(), static_cast<std::int64_t>(memory->size())};
}

}  // namespace

Built::Built(const BuildRequest &request) : BuiltPlan() {
  const std::unique_ptr<IBuilder> builder(
      required(nvinfer1::createInferBuilder(Logger::only()), "it makes no builder"));
  const std::unique_ptr<INetworkDefinition> network(
      required(builder->createNetworkV2(kStronglyTyped), "it makes no network"));
  const auto parser = parsed(request.graph, network.get());
  const std::unique_ptr<IBuilderConfig> config(
      required(builder->createBuilderConfig(), "it makes no configuration"));
  configure(config.get());
  add_profile(request, builder.get(), config.get());
  const auto tactics = add_tactics(request.timing_cache, config.get());
  plan_.reset(required(builder->buildSerializedNetwork(*network, *config), "it built no engine"));
  const nvinfer1::ITimingCache *const measured = config->getTimingCache();
  if (measured != nullptr) timing_cache_.reset(measured->serialize());
  asked_ = asked_precisions(*network);
  inspect();
  for (const auto &[name, precision] : asked_) {
    layers_.push_back({name.c_str(), precision.c_str()});
  }
  for (const std::string &report : reports_) report_texts_.push_back(report.c_str());
  plan = bytes_of(plan_.get());
  timing_cache = bytes_of(timing_cache_.get());
  layers = layers_.data();
  num_layers = static_cast<std::int32_t>(layers_.size());
  num_reports = static_cast<std::int32_t>(report_texts_.size());
  reports = report_texts_.data();
}

void Built::inspect() {
  const std::unique_ptr<nvinfer1::IRuntime> runtime(
      required(nvinfer1::createInferRuntime(Logger::only()), "it makes no runtime"));
  const std::unique_ptr<nvinfer1::ICudaEngine> engine(required(
      runtime->deserializeCudaEngine(plan_->data(), plan_->size()), "it refused its own plan"));
  const std::unique_ptr<nvinfer1::IEngineInspector> inspector(
      required(engine->createEngineInspector(), "it makes no inspector"));
  for (int i = 0; i < engine->getNbLayers(); ++i) {
    reports_.emplace_back(
        required(inspector->getLayerInformation(i, nvinfer1::LayerInformationFormat::kJSON),
                 "its inspector says nothing"));
  }
}

}  // namespace esr::tensorrt
