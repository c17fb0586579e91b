#include "backends/native/engine.h"

#include <unistd.h>

#include <algorithm>
#include <vector>

#include "backends/native/chain.h"
#include "backends/native/scratch.h"
#include "backends/native/tile_runner.h"
#include "base/error.h"
#include "kernels/families.h"
#include "tile/tile_plan.h"

namespace esr::native {
namespace {

// Part of a worker's L2 cache that a tile's rows may fill.
std::size_t cache_budget() {
  constexpr std::size_t kUsual = std::size_t{512} << 10;
  const long reported = sysconf(_SC_LEVEL2_CACHE_SIZE);
  const std::size_t bytes = reported > 0 ? static_cast<std::size_t>(reported) : kUsual;
  return std::clamp(bytes, std::size_t{256} << 10, std::size_t{2} << 20) / 8 * 6;
}

// Part of the L3 cache, which all workers share, that the tiles of all of them may fill.
std::size_t shared_budget() {
  constexpr std::size_t kUsual = std::size_t{8} << 20;
  const long reported = sysconf(_SC_LEVEL3_CACHE_SIZE);
  const std::size_t bytes = reported > 0 ? static_cast<std::size_t>(reported) : kUsual;
  return std::clamp(bytes, std::size_t{4} << 20, std::size_t{64} << 20) / 8 * 3;
}

// Columns of a tile's core. Narrow ones would compute their halo more often than they save, so the
// rows of a deep chain leave the L2 cache whatever their width, and wide ones lose nothing.
std::int32_t widest_core(const Chain &chain, int workers) {
  const std::size_t column = bytes_per_column(chain);
  const std::int32_t halo = 2 * chain.radius;
  const std::int32_t narrowest = std::max(8 * halo, 64);
  const std::int32_t fitting = static_cast<std::int32_t>(cache_budget() / column) - halo;
  if (fitting >= narrowest) return fitting;
  const std::size_t share = shared_budget() / static_cast<std::size_t>(workers);
  return std::max(static_cast<std::int32_t>(share / column) - halo, narrowest);
}

LaneType lane_type_of(Precision precision) {
  if (precision == Precision::kInt8) return LaneType::kInt8;
  return precision == Precision::kBf16 ? LaneType::kBf16 : LaneType::kFp32;
}

Precision available(Precision wanted) {
  const bool lacks_bf16 = kernels::select_family(LaneType::kBf16) == nullptr;
  return wanted == Precision::kBf16 && lacks_bf16 ? Precision::kFp32 : wanted;
}

const char *name_of(Precision precision) {
  if (precision == Precision::kInt8) return "int8";
  return precision == Precision::kBf16 ? "bf16" : "fp32";
}

}  // namespace

class Engine::Impl {
 public:
  Impl(const Network &network, Precision wanted)
      : precision(available(wanted)),
        kernels(kernels::select_family(lane_type_of(precision))),
        chain(build_chain(network, lane_type_of(precision))),
        radius(network.radius()) {}

  void run(const ConstPlane &lr, const Plane &sr, ThreadPool &pool, std::int32_t tile_size) {
    plan(lr, pool.num_threads(), tile_size);
    pool.parallel_for(static_cast<std::int32_t>(tiles_.size()),
                      [&](std::int32_t task, std::int32_t worker) {
                        run_tile(chain, lr, sr, tiles_[static_cast<std::size_t>(task)],
                                 &scratch_[static_cast<std::size_t>(worker)]);
                      });
  }

  const Precision precision;
  const RowKernels *const kernels;
  const Chain chain;
  const int radius;  // in LR pixels

 private:
  void plan(const ConstPlane &lr, int workers, std::int32_t tile_size) {
    const std::int32_t width = lr.width * chain.enlargement;
    const std::int32_t height = lr.height * chain.enlargement;
    TileLimits limits{widest_core(chain, workers), height, workers};
    if (tile_size > 0) {
      const std::int32_t core = std::max(1, tile_size * chain.enlargement - 2 * chain.radius);
      limits = {core, core, 1};
    }
    plan_tiles(width, height, limits, &tiles_);
    std::int32_t widest = 0;
    for (const Tile &tile : tiles_) widest = std::max(widest, tile.x1 - tile.x0);
    const std::int32_t window = std::min(width, widest + 2 * chain.radius);
    if (scratch_.size() < static_cast<std::size_t>(workers)) {
      scratch_.resize(static_cast<std::size_t>(workers));
    }
    for (Scratch &scratch : scratch_) {
      if (scratch.width < window) scratch = Scratch(chain, window);
    }
  }

  std::vector<Tile> tiles_;
  std::vector<Scratch> scratch_;
};

Engine::Engine(const Network &network, Precision precision)
    : impl_(std::make_unique<Impl>(network, precision)) {}

Engine::~Engine() = default;

void Engine::run(const ConstPlane &lr, const Plane &sr, ThreadPool &pool, std::int32_t tile_size) {
  impl_->run(lr, sr, pool, tile_size);
}

void Engine::enqueue(const ConstPlane & /*lr*/, const Plane & /*sr*/, void * /*stream*/) {
  throw Error(Status::kUnsupported, "planes in a GPU's memory need an upscaler of device cuda");
}

EngineInfo Engine::info() const { return {name_of(precision()), "cpu", isa(), scale(), radius()}; }

Precision Engine::precision() const noexcept { return impl_->precision; }
const char *Engine::isa() const noexcept { return impl_->kernels->isa; }
int Engine::scale() const noexcept { return impl_->chain.scale; }
int Engine::radius() const noexcept { return impl_->radius; }

}  // namespace esr::native
