// What the C API runs: one network on one device.
#pragma once

#include <cstdint>
#include <string>

#include "image/plane.h"
#include "threading/thread_pool.h"

namespace esr {

struct EngineInfo {
  std::string precision;  // what runs, such as "int8"
  std::string device;     // "cpu", "cuda" or "tensorrt"
  std::string isa;        // of the convolutions, such as "avx512vnni" or "sm_90"
  int scale = 2;
  int radius = 0;  // how far, in LR pixels, an output sees
};

class Engine {
 public:
  virtual ~Engine() = default;
  Engine() = default;
  Engine(const Engine &) = delete;
  Engine &operator=(const Engine &) = delete;

  virtual EngineInfo info() const = 0;

  // `sr` is `scale` times larger, of the same sample type and bit depth, and does not overlap
  // `lr`; the caller has checked that. Integer samples are rounded half to even and clamped, float
  // samples are neither. The result does not depend on `pool` or `tile_size` (side of a tile in LR
  // pixels, 0 = chosen). Allocates only when a frame or the pool is larger than any before, on a
  // GPU when it is of another size. One call at a time.
  virtual void run(const ConstPlane &lr, const Plane &sr, ThreadPool &pool,
                   std::int32_t tile_size) = 0;

  // The same for planes in a GPU's memory, behind what `stream`, a cudaStream_t, holds. Throws
  // Error(kUnsupported) on other devices.
  virtual void enqueue(const ConstPlane &lr, const Plane &sr, void *stream) = 0;
};

}  // namespace esr
