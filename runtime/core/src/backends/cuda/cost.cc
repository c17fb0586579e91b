#include "backends/cuda/cost.h"

namespace esr::cuda {
namespace {

constexpr double kLaunchCycles = 4000.0;
constexpr double kBarrierCycles = 500.0;
constexpr double kMapBytesPerCycle = 24.0;  // from and to the L2 cache
constexpr double kInputCycles = 4.0;        // of shared memory, for 16 inputs of 16 pixels
constexpr double kWeightCycles = 2.0;       // for a fragment
constexpr double kOutputCycles = 6.0;       // to activate and store 8 outputs of 16 pixels
constexpr double kStepLatency = 60.0;       // of a warp, from the loads to the next ones

// The products of a stage, as shared memory serves them and as one warp waits for them.
struct Products {
  double shared = 0.0;
  double waiting = 0.0;

  void add(int pixels, int steps, int groups, int warps) {
    const int tasks = divided_up(pixels, kMatrices * kMatrixRows);
    shared += tasks * (steps * (kMatrices * kInputCycles + groups * kWeightCycles) +
                       kMatrices * groups * kOutputCycles);
    waiting += divided_up(tasks, warps) * steps * kStepLatency;
  }

  // The 1x1 convolution behind reads no inputs.
  void add_behind(int pixels, const StageShape &shape) {
    const int tasks = divided_up(pixels, kMatrices * kMatrixRows);
    shared += tasks * shape.second *
              (divided_up(shape.first, 2) * kWeightCycles + kMatrices * kOutputCycles);
  }
};

// The window in, and the map or the pixels out.
double transfer_cycles(const Chain &chain, const Geometry &geometry) {
  const int input_bytes = geometry.input_groups * kGroupBytes;
  const double in =
      pixels_of(geometry.input) * (input_bytes == 0 ? 0.25 : input_bytes / kMapBytesPerCycle);
  const int core_pixels = geometry.core.width * geometry.core.height;
  if (geometry.to_pixels)
    return in + core_pixels * chain.network->scale * chain.network->scale * 0.5;
  const Stage &last = chain.stages[static_cast<std::size_t>(geometry.range.end) - 1];
  const int groups = groups_of(last.last().out_channels);
  return in + core_pixels * groups * kGroupBytes / kMapBytesPerCycle;
}

Products products_of(const Chain &chain, const Geometry &geometry) {
  Products products;
  for (std::size_t i = 0; i < geometry.regions.size(); ++i) {
    const Stage &stage = chain.stages[static_cast<std::size_t>(geometry.range.begin) + i];
    const StageShape &shape = kStageShapes[stage.shape];
    const int pixels = pixels_of(geometry.regions[i]);
    products.add(pixels, steps_of(stage), shape.first, geometry.warps);
    products.add_behind(pixels, shape);
  }
  if (!geometry.to_pixels) return products;
  const int pixels = geometry.core.width * geometry.core.height / kTailRows;
  products.add(pixels, tail_steps(chain), chain.tail_groups, geometry.warps);
  return products;
}

}  // namespace

// A multiprocessor's blocks share what memory serves and wait at the same time.
double pass_cycles(const Chain &chain, const Geometry &geometry, const DeviceFacts &device,
                   int width, int height) {
  const int tiles = divided_up(tiles_of(geometry.core, width, height), device.multiprocessors);
  const int turns = divided_up(tiles, blocks_per_multiprocessor(geometry, device));
  const Products products = products_of(chain, geometry);
  const double barriers =
      static_cast<double>(geometry.regions.size()) + (geometry.to_pixels ? 4 : 1);
  return kLaunchCycles + tiles * (products.shared + transfer_cycles(chain, geometry)) +
         turns * (products.waiting + barriers * kBarrierCycles);
}

}  // namespace esr::cuda
