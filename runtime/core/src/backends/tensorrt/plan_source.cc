#include "backends/tensorrt/plan_source.h"

#include <chrono>
#include <cstdio>
#include <memory>
#include <optional>
#include <utility>

#include "backends/tensorrt/layer_precision.h"
#include "backends/tensorrt/loaded_plugin.h"
#include "base/error.h"
#include "bundle/bundle.h"

namespace esr::tensorrt {
namespace {

using Clock = std::chrono::steady_clock;

Bytes bytes_of(const Data &data) { return {data.data(), static_cast<std::int64_t>(data.size())}; }

Data data_of(const Bytes &bytes) {
  const auto *first = static_cast<const std::uint8_t *>(bytes.data);
  return bytes.size > 0 ? Data(first, first + bytes.size) : Data();
}

std::string shown_seconds(Clock::duration time) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.1f s", std::chrono::duration<double>(time).count());
  return text;
}

// Throws where a convolution runs in another precision than the graph says.
std::string checked_precisions(const BuiltPlan &built) {
  std::vector<LayerPrecision> layers;
  for (int i = 0; i < built.num_layers; ++i) {
    layers.push_back({built.layers[i].name, built.layers[i].precision, ""});
  }
  check_precisions({built.reports, built.reports + built.num_reports}, &layers);
  int untold = 0;
  for (const LayerPrecision &layer : layers) untold += layer.runs.empty() ? 1 : 0;
  return std::to_string(layers.size()) + " convolutions, of which " + std::to_string(untold) +
         " do not tell their precision";
}

}  // namespace

std::string graph_name(const std::string &precision, bool is_twin) {
  return "model." + precision + (is_twin ? ".f32.onnx" : ".onnx");
}

PlanSource::PlanSource(const Plugin &plugin, int device, Model model, std::string machine,
                       std::string cache_folder, Log log)
    : plugin_(plugin),
      device_(device),
      model_(std::move(model)),
      machine_(std::move(machine)),
      keeps_(!cache_folder.empty()),
      cache_(std::move(cache_folder)),
      log_(std::move(log)) {}

Plan PlanSource::plan_for(const FrameKind &frame, bool rebuild) const {
  const std::string graph = graph_name(model_.precision, frame.is_twin);
  if (!keeps_) return {build(frame, graph), false, true};
  PlanKey key = key_for(frame, graph);
  std::string reason;
  if (!rebuild) {
    // Before the lock, so that a cache that can be read but not written is of use.
    if (std::optional<Plan> plan = found(key, &reason)) return std::move(*plan);
  }
  std::optional<PlanLock> lock;
  try {
    lock.emplace(cache_.lock_path(key));
  } catch (const Error &error) {
    log_(LogLevel::kWarning, std::string("the plan is not kept: ") + error.what());
    return {build(frame, graph), false, true};
  }
  if (!rebuild) {
    // Another process may have built it meanwhile.
    if (std::optional<Plan> plan = found(key, &reason)) return std::move(*plan);
  }
  if (!reason.empty()) log_(LogLevel::kWarning, "building the plan again: " + reason);
  // What is built here has the defaults, whatever the plan had that does not load.
  key.options = kDefaultOptions;
  return built(frame, graph, key);
}

std::optional<Plan> PlanSource::found(const PlanKey &key, std::string *reason) const {
  FoundPlan entry = cache_.load(key);
  *reason = entry.reason;
  if (!entry.plan) return std::nullopt;
  return Plan{std::move(*entry.plan), is_version_compatible(key.options), false};
}

Plan PlanSource::built(const FrameKind &frame, const std::string &graph, const PlanKey &key) const {
  Plan plan{build(frame, graph), false, true};
  try {
    cache_.store(key, plan.data);
  } catch (const Error &error) {
    log_(LogLevel::kWarning, std::string("the plan is not kept: ") + error.what());
  }
  return plan;
}

Data PlanSource::build(const FrameKind &frame, const std::string &graph) const {
  const std::string what = "a plan of " + graph + " for frames of " + std::to_string(frame.width) +
                           "x" + std::to_string(frame.height);
  const Data content = read_checked(model_.bundle, graph, model_.manifest);
  log_(LogLevel::kWarning, "building " + what + ", once for this machine");
  const auto start = Clock::now();
  const Data tactics = keeps_ ? cache_.timing_cache(machine_) : Data();
  const BuildRequest request{bytes_of(content), bytes_of(tactics), frame.width, frame.height};
  const BuiltPlan *result = nullptr;
  PluginMessage message{};
  check(plugin_.build(device_, &request, &result, &message), message);
  const std::unique_ptr<const BuiltPlan, void (*)(const BuiltPlan *)> owner(result, plugin_.forget);
  const std::string layers = checked_precisions(*result);
  log_(LogLevel::kWarning,
       "built " + what + " in " + shown_seconds(Clock::now() - start) + ": " + layers);
  if (keeps_ && result->timing_cache.size > 0) {
    try {
      cache_.store_timing_cache(machine_, data_of(result->timing_cache));
    } catch (const Error &error) {
      log_(LogLevel::kWarning, std::string("measured tactics are not kept: ") + error.what());
    }
  }
  return data_of(result->plan);
}

// The youngest plan that the cache holds, however it was built, or else one of the defaults.
PlanKey PlanSource::key_for(const FrameKind &frame, const std::string &graph) const {
  const std::string request = request_text(model_.manifest, graph, frame.width, frame.height);
  const auto options = cache_.newest_options(request, machine_);
  return {request, options.value_or(kDefaultOptions), machine_};
}

}  // namespace esr::tensorrt
