#include "backends/cuda/engine.h"

#include <string>
#include <vector>

#include "backends/cuda/frame_arguments.h"
#include "backends/cuda/plan.h"
#include "backends/load_plugin.h"
#include "base/error.h"

namespace esr::cuda {
namespace {

constexpr int kOldestCapability = 80;  // the first with the kernels' instructions

constexpr PluginFile kFile = {"cuda", "CUDA", kPluginFile, kPluginEntry};

void check(PluginStatus status, const PluginMessage &message) {
  check_plugin(kFile, status, message);
}

const Plugin &loaded_plugin() {
  static const void *const table = load_plugin(kFile, kPluginRelease);
  return *static_cast<const Plugin *>(table);
}

DeviceFacts described(const Plugin &plugin, int device) {
  DeviceFacts facts{};
  PluginMessage message{};
  check(plugin.describe(device, &facts, &message), message);
  if (facts.capability < kOldestCapability) {
    throw Error(Status::kUnsupported,
                std::string("device cuda is not offered: ") + facts.name +
                    " has compute capability " + std::to_string(facts.capability / 10) + "." +
                    std::to_string(facts.capability % 10) + ", the kernels need 8.0");
  }
  return facts;
}

}  // namespace

class Engine::Impl {
 public:
  Impl(const native::Network &given, int device)
      : network(given),
        chain(chain_of(network)),
        plugin(loaded_plugin()),
        facts(described(plugin, device)) {
    // A network that does not fit into the device's memories is refused now, not at the first
    // frame.
    plan_frame(chain, facts, kUsualWidth, kUsualHeight);
    PluginMessage message{};
    check(plugin.open(device, &session_, &message), message);
  }

  ~Impl() { plugin.close(session_); }
  Impl(const Impl &) = delete;
  Impl &operator=(const Impl &) = delete;

  void run(const ConstPlane &lr, const Plane &sr) {
    load(lr.width, lr.height);
    const FrameArguments frame = frame_arguments(lr, sr);
    PluginMessage message{};
    check(plugin.run(session_, &frame, &message), message);
  }

  void enqueue(const ConstPlane &lr, const Plane &sr, void *stream) {
    load(lr.width, lr.height);
    const FrameArguments frame = frame_arguments(lr, sr);
    PluginMessage message{};
    check(plugin.enqueue(session_, &frame, stream, &message), message);
  }

  const native::Network network;
  const Chain chain;  // refers to `network`
  const Plugin &plugin;
  const DeviceFacts facts;

 private:
  static constexpr int kUsualWidth = 640;
  static constexpr int kUsualHeight = 360;

  void load(int width, int height) {
    if (width == width_ && height == height_) return;
    width_ = height_ = 0;  // nothing is loaded if this fails
    const FramePlan plan = plan_frame(chain, facts, width, height);
    std::vector<PluginPass> passes;
    for (const PassPlan &pass : plan.passes) {
      passes.push_back({pass.layout, pass.blocks, pass.constants.data()});
    }
    const PluginPlan told{width,
                          height,
                          network.scale,
                          plan.map_bytes,
                          static_cast<std::int32_t>(passes.size()),
                          passes.data()};
    PluginMessage message{};
    check(plugin.load(session_, &told, &message), message);
    width_ = width;
    height_ = height;
  }

  PluginSession *session_ = nullptr;
  int width_ = 0;
  int height_ = 0;
};

Engine::Engine(const native::Network &network, int device)
    : impl_(std::make_unique<Impl>(network, device)) {}

Engine::~Engine() = default;

EngineInfo Engine::info() const {
  return {"fp16", "cuda", "sm_" + std::to_string(impl_->facts.capability), impl_->network.scale,
          impl_->network.radius()};
}

void Engine::run(const ConstPlane &lr, const Plane &sr, ThreadPool & /*pool*/,
                 std::int32_t /*tile_size*/) {
  impl_->run(lr, sr);
}

void Engine::enqueue(const ConstPlane &lr, const Plane &sr, void *stream) {
  impl_->enqueue(lr, sr, stream);
}

}  // namespace esr::cuda
