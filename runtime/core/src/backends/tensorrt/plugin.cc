// libedge_sr_tensorrt: the table of functions. guard() is the only place that catches.
#include "backends/tensorrt/plugin.h"

#include <cstdio>
#include <exception>
#include <new>
#include <string>

#include "backends/cuda/failure.h"
#include "backends/cuda/handles.h"
#include "backends/tensorrt/builder.h"
#include "backends/tensorrt/lane.h"
#include "backends/tensorrt/refusal.h"

namespace esr::tensorrt {
namespace {

using cuda::UsedDevice;

PluginStatus failed(PluginStatus status, const char *text, PluginMessage *message) noexcept {
  std::snprintf(message->text, sizeof(message->text), "%s", text);
  return status;
}

template <class Body>
PluginStatus guard(PluginMessage *message, const Body &body) noexcept {
  try {
    Logger::only().forget();
    body();
    return PluginStatus::kOk;
  } catch (const cuda::Failure &failure) {
    return failed(cuda::status_of(failure.error), cuda::text_of(failure.error), message);
  } catch (const Refusal &refusal) {
    return failed(refusal.status, refusal.text.c_str(), message);
  } catch (const std::bad_alloc &) {
    return failed(PluginStatus::kOutOfMemory, "out of memory", message);
  } catch (const std::exception &error) {
    return failed(PluginStatus::kFailed, error.what(), message);
  }
}

template <std::size_t kSize>
void write(char (&field)[kSize], const std::string &text) {
  std::snprintf(field, kSize, "%s", text.c_str());
}

std::string dotted(int major, int minor) {
  return std::to_string(major) + "." + std::to_string(minor);
}

PluginStatus describe(std::int32_t device, DeviceFacts *facts, PluginMessage *message) {
  return guard(message, [&] {
    int count = 0;
    cuda::check(cudaGetDeviceCount(&count));
    if (device >= count) throw cuda::Failure{cudaErrorInvalidDevice};
    cudaDeviceProp properties;
    cuda::check(cudaGetDeviceProperties(&properties, device));
    int driver = 0;
    cuda::check(cudaDriverGetVersion(&driver));
    write(facts->gpu, properties.name);
    write(facts->compute_capability, dotted(properties.major, properties.minor));
    write(facts->cuda, dotted(driver / 1000, driver % 1000 / 10));
    write(facts->tensorrt, dotted(getInferLibMajorVersion(), getInferLibMinorVersion()) + "." +
                               std::to_string(getInferLibPatchVersion()));
  });
}

PluginStatus build(std::int32_t device, const BuildRequest *request, const BuiltPlan **built,
                   PluginMessage *message) {
  return guard(message, [&] {
    const UsedDevice used(device);
    *built = new Built(*request);
  });
}

void forget(const BuiltPlan *built) { delete static_cast<const Built *>(built); }

PluginStatus open(std::int32_t device, const OpenRequest *request, Lane **lane, HostFrame *frame,
                  PluginMessage *message) {
  return guard(message, [&] {
    const UsedDevice used(device);
    *lane = new Lane(device, *request);
    *frame = (*lane)->host_frame();
    write(message->text, (*lane)->goes_without);
  });
}

void close(Lane *lane) {
  PluginMessage unread;
  guard(&unread, [&] {
    const UsedDevice used(lane->device);
    cudaDeviceSynchronize();  // work on callers' streams may still read the buffers
    delete lane;
  });
}

PluginStatus run(Lane *lane, PluginMessage *message) {
  return guard(message, [&] {
    const UsedDevice used(lane->device);
    lane->run();
  });
}

PluginStatus enqueue(Lane *lane, const DeviceFrame *frame, void *stream, PluginMessage *message) {
  return guard(message, [&] {
    const UsedDevice used(lane->device);
    lane->enqueue(*frame, static_cast<cudaStream_t>(stream));
  });
}

}  // namespace
}  // namespace esr::tensorrt

extern "C" __attribute__((visibility("default"))) const void *esr_tensorrt_plugin() {
  using namespace esr::tensorrt;
  static const Plugin plugin = {kPluginRelease, describe, build, forget, open, close, run, enqueue};
  return &plugin;
}
