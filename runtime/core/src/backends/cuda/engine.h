// Runs a plain chain on an NVIDIA GPU through the plugin.
#pragma once

#include <memory>

#include "backends/cuda/plugin.h"
#include "backends/engine.h"
#include "backends/native/network.h"

namespace esr::cuda {

// Weights and activations in fp16, sums in float32, the bicubic base in float32.
class Engine final : public esr::Engine {
 public:
  // `device` counts the GPUs that CUDA shows. Throws Error(kUnsupported), saying why, if the
  // network has no kernels, or without plugin, driver or device.
  Engine(const native::Network &network, int device);
  ~Engine() override;

  EngineInfo info() const override;
  void run(const ConstPlane &lr, const Plane &sr, ThreadPool &pool,
           std::int32_t tile_size) override;
  void enqueue(const ConstPlane &lr, const Plane &sr, void *stream) override;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace esr::cuda
