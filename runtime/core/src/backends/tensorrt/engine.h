// Runs a graph of a bundle on an NVIDIA GPU by TensorRT, through the plugin.
#pragma once

#include <memory>

#include "backends/engine.h"
#include "backends/tensorrt/plan_source.h"

namespace esr::tensorrt {

// Frames are run whole. The plan for a size is built, or taken from the cache, when its first frame
// comes; `log` hears of it then, on the thread of the call. Planes in device memory must be uint8
// or float32, the top row first.
class Engine final : public esr::Engine {
 public:
  // `device` counts the GPUs that CUDA shows. Throws Error(kUnsupported), saying why, without
  // plugin, driver or device.
  Engine(Model model, int device, const Log &log);
  ~Engine() override;

  EngineInfo info() const override;
  void run(const ConstPlane &lr, const Plane &sr, ThreadPool &pool,
           std::int32_t tile_size) override;
  void enqueue(const ConstPlane &lr, const Plane &sr, void *stream) override;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace esr::tensorrt
