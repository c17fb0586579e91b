// Runs a plain chain with all layers fused per tile.
#pragma once

#include <cstdint>
#include <memory>

#include "backends/engine.h"
#include "backends/native/network.h"

namespace esr::native {

enum class Precision : std::uint8_t { kFp32, kBf16, kInt8 };

class Engine final : public esr::Engine {
 public:
  // Packs the weights for the best ISA of this CPU (capped by EDGE_SR_ISA). Throws
  // Error(kUnsupported) if the network holds no INT8 and INT8 is asked. BF16 on a CPU without
  // AVX512_BF16 runs as FP32, which precision() then says.
  Engine(const Network &network, Precision precision);
  ~Engine() override;

  EngineInfo info() const override;
  void run(const ConstPlane &lr, const Plane &sr, ThreadPool &pool,
           std::int32_t tile_size = 0) override;
  void enqueue(const ConstPlane &lr, const Plane &sr, void *stream) override;

  Precision precision() const noexcept;
  const char *isa() const noexcept;  // of the convolution kernel, such as "avx512vnni"
  int scale() const noexcept;
  int radius() const noexcept;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace esr::native
