// What libedge_sr and libedge_sr_tensorrt tell each other.
//
// libedge_sr knows bundles, the cache of plans and the samples of planes, and nothing of TensorRT.
// The plugin knows TensorRT and CUDA: it makes a plan of a graph, and runs one on planes of the
// graph's own type. The two are built from one source tree.
#pragma once

#include <cstdint>

#include "backends/plugin.h"

namespace esr::tensorrt {

constexpr const char *kPluginFile = "libedge_sr_tensorrt.so";
constexpr const char *kPluginEntry = "esr_tensorrt_plugin";

// What a plan depends on, but for the driver's release.
struct DeviceFacts {
  char gpu[256];
  char compute_capability[16];  // such as "8.7"
  char cuda[16];                // that the driver brings, such as "12.6"
  char tensorrt[16];            // such as "10.3.0"
};

struct Bytes {
  const void *data;
  std::int64_t size;
};

// A plan for frames of exactly this size, in LR pixels.
struct BuildRequest {
  Bytes graph;
  Bytes timing_cache;  // may be empty
  std::int32_t width;
  std::int32_t height;
};

// A convolution of the graph with the precision that its types ask for.
struct AskedLayer {
  const char *name;
  const char *precision;
};

struct BuiltPlan {
  Bytes plan;
  Bytes timing_cache;
  const AskedLayer *layers;
  std::int32_t num_layers;
  std::int32_t num_reports;
  const char *const *reports;  // the inspector's JSON object for each layer of the engine
};

struct OpenRequest {
  Bytes plan;
  std::int32_t width;
  std::int32_t height;
  std::int32_t scale;
  std::int32_t sample_bytes;   // of the graph's input and output: 1 for uint8, 4 for float32
  std::int32_t has_host_code;  // a version-compatible plan carries code for the host
};

// Pinned memory for a frame without gaps between its rows, as long as the lane is open.
struct HostFrame {
  void *lr;
  const void *sr;
};

// Planes in device memory; strides are in bytes and not negative.
struct DeviceFrame {
  const void *lr;
  std::int64_t lr_stride;
  void *sr;
  std::int64_t sr_stride;
};

// A plan that is ready to run: a stream, buffers and a CUDA graph of their own.
struct Lane;

// Functions of one lane are called by one thread at a time, `build` and `open` by any.
struct Plugin {
  PluginRelease release;
  PluginStatus (*describe)(std::int32_t device, DeviceFacts *facts, PluginMessage *message);
  // Takes seconds to minutes. On success `built` must be given back to `forget`.
  PluginStatus (*build)(std::int32_t device, const BuildRequest *request, const BuiltPlan **built,
                        PluginMessage *message);
  void (*forget)(const BuiltPlan *built);
  // On success a message that is not empty says what the lane does without.
  PluginStatus (*open)(std::int32_t device, const OpenRequest *request, Lane **lane,
                       HostFrame *frame, PluginMessage *message);
  void (*close)(Lane *lane);
  // From the lane's `lr` to its `sr`; returns when that is written.
  PluginStatus (*run)(Lane *lane, PluginMessage *message);
  // Returns when the work is behind that of `stream`, a cudaStream_t.
  PluginStatus (*enqueue)(Lane *lane, const DeviceFrame *frame, void *stream,
                          PluginMessage *message);
};

constexpr PluginRelease kPluginRelease = {
    1, static_cast<std::int32_t>(sizeof(DeviceFacts) + sizeof(BuildRequest) + sizeof(BuiltPlan) +
                                 sizeof(OpenRequest) + sizeof(HostFrame) + sizeof(DeviceFrame) +
                                 sizeof(PluginMessage) + sizeof(Plugin))};

}  // namespace esr::tensorrt
