// A CUDA plugin that runs the kernels on a CPU: a library of the plugin's name, to lie beside the
// library or program under test. Its GPU is "sm_87" with two multiprocessors.
#include <cstdio>
#include <cstring>
#include <exception>
#include <memory>

#include "backends/cuda/plugin.h"
#include "cuda_emulation/emulated_frame.h"

namespace esr::cuda {

struct PluginSession {
  FramePlan plan;
};

namespace {

constexpr DeviceFacts kFacts = {87, 2, 163 << 10, 164 << 10, "emulated"};

template <class Body>
PluginStatus guard(PluginMessage *message, const Body &body) {
  try {
    body();
    return PluginStatus::kOk;
  } catch (const std::exception &error) {
    std::snprintf(message->text, sizeof(message->text), "%s", error.what());
    return PluginStatus::kFailed;
  }
}

PluginStatus describe(std::int32_t device, DeviceFacts *facts, PluginMessage *message) {
  if (device != 0) {
    std::snprintf(message->text, sizeof(message->text), "no device %d", device);
    return PluginStatus::kUnsupported;
  }
  *facts = kFacts;
  return PluginStatus::kOk;
}

PluginStatus open(std::int32_t, PluginSession **session, PluginMessage *message) {
  return guard(message, [&] { *session = new PluginSession(); });
}

void close(PluginSession *session) { delete session; }

PluginStatus load(PluginSession *session, const PluginPlan *plan, PluginMessage *message) {
  return guard(message, [&] {
    session->plan = {};
    session->plan.map_bytes = plan->map_bytes;
    for (int i = 0; i < plan->num_passes; ++i) {
      const PluginPass &pass = plan->passes[i];
      const std::uint8_t *end = pass.constants + pass.layout.constants_bytes;
      session->plan.passes.push_back({pass.layout, pass.blocks, {pass.constants, end}});
    }
  });
}

PluginStatus run(PluginSession *session, const FrameArguments *frame, PluginMessage *message) {
  return guard(message, [&] { cuda_emulation::run_passes(session->plan, *frame); });
}

PluginStatus enqueue(PluginSession *session, const FrameArguments *frame, void *,
                     PluginMessage *message) {
  return run(session, frame, message);
}

}  // namespace
}  // namespace esr::cuda

extern "C" __attribute__((visibility("default"))) const esr::cuda::Plugin *esr_cuda_plugin() {
  using namespace esr::cuda;
  static const Plugin plugin = {kPluginVersion,
                                static_cast<std::int32_t>(sizeof(PassLayout)),
                                describe,
                                open,
                                close,
                                load,
                                run,
                                enqueue};
  return &plugin;
}
