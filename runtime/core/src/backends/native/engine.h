// Runs a plain chain with all layers fused per tile.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "backends/native/network.h"
#include "image/plane.h"
#include "threading/thread_pool.h"

namespace esr::native {

enum class Precision : std::uint8_t { kFp32, kBf16, kInt8 };

class Engine {
 public:
  // Packs the weights for the best ISA of this CPU (capped by EDGE_SR_ISA). Throws
  // Error(kUnsupported) if the network holds no INT8 and INT8 is asked. BF16 on a CPU without
  // AVX512_BF16 runs as FP32, which precision() then says.
  Engine(const Network &network, Precision precision);
  ~Engine();
  Engine(const Engine &) = delete;
  Engine &operator=(const Engine &) = delete;

  // `sr` is `scale` times larger, of the same sample type and bit depth, and does not overlap
  // `lr`; the caller has checked that. Integer samples are rounded half to even and clamped, float
  // samples are neither. The result does not depend on `pool` or `tile_size` (side of a tile in LR
  // pixels, 0 = chosen). Allocates only when a frame or the pool is larger than any before.
  // One call at a time.
  void run(const ConstPlane &lr, const Plane &sr, ThreadPool &pool, std::int32_t tile_size = 0);

  Precision precision() const noexcept;
  const char *isa() const noexcept;  // of the convolution kernel, such as "avx512vnni"
  int scale() const noexcept;
  int radius() const noexcept;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace esr::native
