#include "backends/tensorrt/engine.h"

#include <algorithm>
#include <list>
#include <string>
#include <utility>

#include "backends/tensorrt/loaded_plugin.h"
#include "backends/tensorrt/machine.h"
#include "backends/tensorrt/samples.h"
#include "base/error.h"

namespace esr::tensorrt {
namespace {

constexpr std::size_t kMostLanes = 4;

DeviceFacts described(const Plugin &plugin, int device) {
  DeviceFacts facts{};
  PluginMessage message{};
  check(plugin.describe(device, &facts, &message), message);
  return facts;
}

// Empty where plans cannot be kept.
std::string cache_folder(const Log &log) {
  try {
    return PlanCache::default_folder();
  } catch (const Error &error) {
    log(LogLevel::kWarning, std::string("plans are not kept: ") + error.what());
    return "";
  }
}

// A plan that is open, and the frames that it serves.
class OpenLane {
 public:
  OpenLane(const Plugin &plugin, int device, const FrameKind &frame, int scale, const Plan &plan)
      : kind(frame), plugin_(plugin) {
    const OpenRequest request{{plan.data.data(), static_cast<std::int64_t>(plan.data.size())},
                              frame.width,
                              frame.height,
                              scale,
                              frame.is_twin ? 4 : 1,
                              plan.has_host_code ? 1 : 0};
    PluginMessage message{};
    check(plugin.open(device, &request, &lane_, &frame_, &message), message);
    goes_without = message.text;
  }
  ~OpenLane() { plugin_.close(lane_); }
  OpenLane(const OpenLane &) = delete;
  OpenLane &operator=(const OpenLane &) = delete;

  void run(const ConstPlane &lr, const Plane &sr, ThreadPool &pool) const {
    to_graph(lr, frame_.lr, pool);
    PluginMessage message{};
    check(plugin_.run(lane_, &message), message);
    from_graph(frame_.sr, sr, pool);
  }

  void enqueue(const DeviceFrame &frame, void *stream) const {
    PluginMessage message{};
    check(plugin_.enqueue(lane_, &frame, stream, &message), message);
  }

  const FrameKind kind;
  std::string goes_without;  // one line, or empty

 private:
  const Plugin &plugin_;
  Lane *lane_ = nullptr;
  HostFrame frame_{};
};

FrameKind kind_of(const ConstPlane &lr) { return {lr.width, lr.height, needs_twin(lr.type)}; }

}  // namespace

class Engine::Impl {
 public:
  Impl(Model model, int device, Log log)
      : plugin_(loaded_plugin()),
        device_(device),
        log_(std::move(log)),
        facts_(described(plugin_, device)),
        info_(info_of(model, facts_)),
        plans_(plugin_, device, std::move(model), machine_text(facts_, driver_release()),
               cache_folder(log_), log_) {}

  const EngineInfo &info() const { return info_; }

  // The lane of a frame, opened if it must be; the one that was used last is the first.
  OpenLane &lane_for(const FrameKind &kind) {
    const auto found = std::find_if(lanes_.begin(), lanes_.end(),
                                    [&](const auto &lane) { return lane->kind == kind; });
    if (found != lanes_.end()) {
      lanes_.splice(lanes_.begin(), lanes_, found);
      return *lanes_.front();
    }
    if (lanes_.size() == kMostLanes) lanes_.pop_back();
    try {
      lanes_.push_front(opened(kind));
    } catch (const Error &error) {
      // The memory may be with the lanes of other sizes.
      if (error.status() != Status::kOutOfMemory || lanes_.empty()) throw;
      lanes_.clear();
      lanes_.push_front(opened(kind));
    }
    return *lanes_.front();
  }

 private:
  static EngineInfo info_of(const Model &model, const DeviceFacts &facts) {
    std::string capability = facts.compute_capability;
    capability.erase(std::remove(capability.begin(), capability.end(), '.'), capability.end());
    return {model.precision, "tensorrt", "sm_" + capability, model.manifest.scale,
            model.manifest.receptive_field_radius};
  }

  // Once more with a new plan if TensorRT refuses the one in the cache.
  std::unique_ptr<OpenLane> opened(const FrameKind &kind) const {
    const Plan plan = plans_.plan_for(kind, false);
    try {
      return opened(kind, plan);
    } catch (const Error &error) {
      if (plan.is_new || error.status() == Status::kOutOfMemory) throw;
      log_(LogLevel::kWarning, std::string("the cached plan does not load: ") + error.what());
    }
    return opened(kind, plans_.plan_for(kind, true));
  }

  std::unique_ptr<OpenLane> opened(const FrameKind &kind, const Plan &plan) const {
    auto lane = std::make_unique<OpenLane>(plugin_, device_, kind, info_.scale, plan);
    if (!lane->goes_without.empty()) log_(LogLevel::kWarning, lane->goes_without);
    return lane;
  }

  const Plugin &plugin_;
  const int device_;
  const Log log_;
  const DeviceFacts facts_;
  const EngineInfo info_;
  const PlanSource plans_;
  std::list<std::unique_ptr<OpenLane>> lanes_;
};

Engine::Engine(Model model, int device, const Log &log)
    : impl_(std::make_unique<Impl>(std::move(model), device, log)) {}

Engine::~Engine() = default;

EngineInfo Engine::info() const { return impl_->info(); }

void Engine::run(const ConstPlane &lr, const Plane &sr, ThreadPool &pool,
                 std::int32_t /*tile_size*/) {
  impl_->lane_for(kind_of(lr)).run(lr, sr, pool);
}

void Engine::enqueue(const ConstPlane &lr, const Plane &sr, void *stream) {
  if (lr.type == SampleType::kUint16) {
    throw Error(Status::kUnsupported,
                "device tensorrt takes uint8 and float32 planes in GPU memory, not uint16");
  }
  if (lr.stride < 0 || sr.stride < 0) {
    throw Error(Status::kUnsupported,
                "device tensorrt takes planes in GPU memory from the top row on, not from the "
                "bottom one");
  }
  impl_->lane_for(kind_of(lr)).enqueue({lr.data, lr.stride, sr.data, sr.stride}, stream);
}

}  // namespace esr::tensorrt
