// What libedge_sr and libedge_sr_cuda tell each other.
//
// libedge_sr knows networks and plans, and nothing of CUDA. The plugin knows CUDA, and nothing of
// networks: it holds constants, buffers and graphs, and launches what it is told. The two are built
// from one source tree.
#pragma once

#include <cstddef>
#include <cstdint>

#include "backends/cuda/pass.h"
#include "backends/plugin.h"

namespace esr::cuda {

constexpr PluginRelease kPluginRelease = {2, static_cast<std::int32_t>(sizeof(PassLayout))};
constexpr const char *kPluginFile = "libedge_sr_cuda.so";
constexpr const char *kPluginEntry = "esr_cuda_plugin";

struct DeviceFacts {
  std::int32_t capability;  // such as 90 for sm_90
  std::int32_t multiprocessors;
  std::int32_t shared_per_block;           // bytes that one block may have
  std::int32_t shared_per_multiprocessor;  // bytes that its blocks share
  char name[64];
};

struct PluginPass {
  PassLayout layout;
  std::int32_t blocks;
  const std::uint8_t *constants;
};

// A frame's size and what it takes; `map_bytes` is the size of the largest map between passes.
struct PluginPlan {
  std::int32_t width;
  std::int32_t height;
  std::int32_t scale;
  std::int64_t map_bytes;
  std::int32_t num_passes;
  const PluginPass *passes;
};

struct PluginSession;

// Functions of one session are called by one thread at a time.
struct Plugin {
  PluginRelease release;
  PluginStatus (*describe)(std::int32_t device, DeviceFacts *facts, PluginMessage *message);
  PluginStatus (*open)(std::int32_t device, PluginSession **session, PluginMessage *message);
  void (*close)(PluginSession *session);
  // Copies the constants and makes buffers for frames of the plan's size. Waits until the device
  // is done with earlier frames.
  PluginStatus (*load)(PluginSession *session, const PluginPlan *plan, PluginMessage *message);
  // Planes in host memory, of the loaded size; returns when `sr` is written. After a failure `sr`
  // is as it was.
  PluginStatus (*run)(PluginSession *session, const FrameArguments *frame, PluginMessage *message);
  // Planes in device memory; returns when the work is behind that of `stream`, a cudaStream_t.
  PluginStatus (*enqueue)(PluginSession *session, const FrameArguments *frame, void *stream,
                          PluginMessage *message);
};

}  // namespace esr::cuda
