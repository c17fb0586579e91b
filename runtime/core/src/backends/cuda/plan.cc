#include "backends/cuda/plan.h"

#include <algorithm>
#include <limits>
#include <string>

#include "backends/cuda/taps.h"
#include "backends/native/bicubic_base.h"
#include "base/error.h"

namespace esr::cuda {
namespace {

using native::Layer;

constexpr int kMostPixels = 4096;  // of a region, and its largest width: see position_of()
constexpr int kWidestRegion = 256;
constexpr std::int32_t kReservedBytes = 1024;  // of shared memory, for each block
constexpr int kCoreWidths[] = {8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 128};
constexpr int kCoreHeights[] = {2, 4, 6, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 64};

int divided_up(int value, int by) { return (value + by - 1) / by; }

std::int32_t aligned(std::int32_t bytes) { return divided_up(bytes, 16) * 16; }

Region region_of(int width, int height) { return {width, height, divided_up(1 << 20, width)}; }

int pixels_of(const Region &region) { return region.width * region.height; }

// ---- Where everything of a pass lies ----

// Stages begin .. end-1 and, if these are the last, the tail.
struct Range {
  int begin = 0;
  int end = 0;
};

struct Geometry {
  Range range;
  CoreSize core;
  int warps = 0;  // of a block
  bool to_pixels = false;
  int input_margin = 0;
  Region input{};
  int input_groups = 0;  // 0: the picture
  std::vector<int> margins;
  std::vector<Region> regions;  // of the stages' outputs
  std::int32_t constants_bytes = 0;
  std::int32_t part_bytes[2] = {0, 0};  // a stage reads one part and writes the other

  std::int32_t part(std::size_t number) const {
    return constants_bytes + (number % 2 == 0 ? 0 : part_bytes[0]);
  }
  std::int32_t shared_bytes() const { return constants_bytes + part_bytes[0] + part_bytes[1]; }
};

// What the end of the chain keeps beside the tail's input.
struct TailScratch {
  std::int32_t sums = 0;
  std::int32_t window = 0;
  std::int32_t columns = 0;
  std::int32_t bytes = 0;
};

TailScratch tail_scratch(const native::Network &network, CoreSize core) {
  const int scale = network.scale;
  constexpr auto kFloat = static_cast<std::int32_t>(sizeof(float));
  TailScratch scratch;
  scratch.window = aligned(scale * scale * core.width * core.height * kFloat);
  scratch.bytes = scratch.window;
  if (!network.has_base) return scratch;
  scratch.columns = scratch.window + aligned((core.width + 4) * (core.height + 4) * kFloat);
  scratch.bytes = scratch.columns + aligned((core.width + 4) * scale * core.height * kFloat);
  return scratch;
}

std::int32_t dense_bytes(int steps, int groups) {
  return steps * groups * kFragmentBytes + 2 * groups * kGroupChannels * 4;
}

int steps_of(const Stage &stage) {
  const Layer &layer = *stage.first.layer;
  if (kStageShapes[stage.shape].from_picture) return picture_steps(layer.kernel);
  return map_steps(layer.kernel, layer.kernel, groups_of(layer.in_channels));
}

int tail_steps(const Chain &chain) {
  const Layer &tail = *chain.tail.layer;
  return map_steps(tail.kernel + kTailRows - 1, tail.kernel, groups_of(tail.in_channels));
}

// As Constants lays them out.
std::int32_t constants_bytes(const Chain &chain, Range range) {
  std::int32_t bytes = 0;
  for (int i = range.begin; i < range.end; ++i) {
    const Stage &stage = chain.stages[static_cast<std::size_t>(i)];
    const StageShape &shape = kStageShapes[stage.shape];
    const int steps = steps_of(stage);
    bytes += aligned(4 * steps * (shape.from_picture ? 8 : 2)) + dense_bytes(steps, shape.first);
    if (stage.second.layer != nullptr)
      bytes += dense_bytes(divided_up(shape.first, 2), shape.second);
  }
  if (range.end < static_cast<int>(chain.stages.size())) return bytes;
  const int steps = tail_steps(chain);
  bytes += aligned(4 * 2 * steps) + dense_bytes(steps, chain.tail_groups);
  return bytes + (chain.network->has_base ? aligned(chain.network->scale * 5 * 4) : 0);
}

Geometry geometry_of(const Chain &chain, Range range, CoreSize core, int warps) {
  Geometry geometry;
  geometry.warps = warps;
  geometry.range = range;
  geometry.core = core;
  geometry.to_pixels = range.end == static_cast<int>(chain.stages.size());
  const auto count = static_cast<std::size_t>(range.end - range.begin);
  geometry.margins.resize(count);
  geometry.regions.resize(count);
  int margin = geometry.to_pixels ? chain.tail.layer->kernel / 2 : 0;
  for (std::size_t i = count; i-- > 0;) {
    geometry.margins[i] = margin;
    geometry.regions[i] = region_of(core.width + 2 * margin, core.height + 2 * margin);
    margin += chain.stages[static_cast<std::size_t>(range.begin) + i].radius();
  }
  geometry.input_margin = margin;
  geometry.input = region_of(core.width + 2 * margin, core.height + 2 * margin);
  const Stage &first = chain.stages[static_cast<std::size_t>(range.begin)];
  geometry.input_groups = range.begin == 0 ? 0 : groups_of(first.first.layer->in_channels);

  geometry.constants_bytes = constants_bytes(chain, range);
  const int input_bytes = range.begin == 0 ? 4 : geometry.input_groups * kGroupBytes;
  geometry.part_bytes[0] = aligned(pixels_of(geometry.input) * input_bytes);
  for (std::size_t i = 0; i < count; ++i) {
    if (i + 1 == count && !geometry.to_pixels) break;  // its output is in device memory
    const Stage &stage = chain.stages[static_cast<std::size_t>(range.begin) + i];
    const int groups = groups_of(stage.last().out_channels);
    std::int32_t &part = geometry.part_bytes[(i + 1) % 2];
    part = std::max(part, pixels_of(geometry.regions[i]) * groups * kGroupBytes);
  }
  if (!geometry.to_pixels) return geometry;
  std::int32_t &scratch = geometry.part_bytes[(count + 1) % 2];
  scratch = std::max(scratch, tail_scratch(*chain.network, core).bytes);
  return geometry;
}

bool fits(const Geometry &geometry, const DeviceFacts &device) {
  return geometry.input.width <= kWidestRegion && pixels_of(geometry.input) < kMostPixels &&
         geometry.shared_bytes() <= device.shared_per_block;
}

int blocks_per_multiprocessor(const Geometry &geometry, const DeviceFacts &device) {
  const int blocks = device.shared_per_multiprocessor / (geometry.shared_bytes() + kReservedBytes);
  return std::clamp(blocks, 1, kMostWarps / geometry.warps);
}

int tiles_of(CoreSize core, int width, int height) {
  return divided_up(width, core.width) * divided_up(height, core.height);
}

// ---- What a pass costs, in cycles of a multiprocessor; docs/gpu.md tells how they come about ----

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

// Of the busiest multiprocessor. Its blocks share what memory serves and wait at the same time.
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

struct Choice {
  double cycles = std::numeric_limits<double>::infinity();
  CoreSize core;
  int warps = 0;
};

// The cheapest tile.
Choice best_tile(const Chain &chain, Range range, const DeviceFacts &device, int width,
                 int height) {
  Choice best;
  for (const int core_width : kCoreWidths) {
    for (const int core_height : kCoreHeights) {
      for (const int warps : {kMostWarps / 2, kMostWarps}) {
        const CoreSize core = {core_width, core_height};
        const Geometry geometry = geometry_of(chain, range, core, warps);
        if (!fits(geometry, device)) break;
        const double cycles = pass_cycles(chain, geometry, device, width, height);
        if (cycles < best.cycles) best = {cycles, core, warps};
      }
    }
  }
  return best;
}

// ---- The pass itself ----

class PassBuilder {
 public:
  PassBuilder(const Chain &chain, const Geometry &geometry) : chain_(chain), geometry_(geometry) {}

  PassPlan build(const DeviceFacts &device, int width, int height) {
    pass_.warps = geometry_.warps;
    pass_.core_width = geometry_.core.width;
    pass_.core_height = geometry_.core.height;
    pass_.tiles_x = divided_up(width, pass_.core_width);
    pass_.tiles = tiles_of(geometry_.core, width, height);
    pass_.from_picture = geometry_.range.begin == 0 ? 1 : 0;
    pass_.to_pixels = geometry_.to_pixels ? 1 : 0;
    pass_.input = geometry_.part(0);
    pass_.input_margin = geometry_.input_margin;
    pass_.input_width = geometry_.input.width;
    pass_.input_height = geometry_.input.height;
    pass_.input_groups = geometry_.input_groups;
    pass_.num_stages = geometry_.range.end - geometry_.range.begin;
    for (std::size_t i = 0; i < geometry_.regions.size(); ++i) add_stage(i);
    if (geometry_.to_pixels) add_tail();
    pass_.constants_bytes = static_cast<std::int32_t>(constants_.bytes().size());
    pass_.shared_bytes = geometry_.shared_bytes();
    if (pass_.constants_bytes != geometry_.constants_bytes) {
      throw Error(Status::kInternal, "constants of a pass are not as large as planned");
    }
    const int resident = device.multiprocessors * blocks_per_multiprocessor(geometry_, device);
    return {pass_, std::min(pass_.tiles, resident), constants_.bytes()};
  }

 private:
  // The region that stage `index` reads.
  const Region &region_before(std::size_t index) const {
    return index == 0 ? geometry_.input : geometry_.regions[index - 1];
  }

  Taps taps_of(const Layer &layer, std::size_t index, int rows) const {
    const Region &region = region_before(index);
    if (index == 0 && pass_.from_picture != 0) return picture_taps(layer.kernel, region.width);
    return map_taps(rows, layer.kernel, groups_of(layer.in_channels), region);
  }

  void add_stage(std::size_t index) {
    const Stage &stage = chain_.stages[static_cast<std::size_t>(geometry_.range.begin) + index];
    const StageShape &shape = kStageShapes[stage.shape];
    const Taps taps = taps_of(*stage.first.layer, index, stage.first.layer->kernel);
    const bool to_device = !geometry_.to_pixels && index + 1 == geometry_.regions.size();
    StageLayout &layout = pass_.stages[index];
    layout.shape = stage.shape;
    layout.steps = taps.steps();
    layout.taps = constants_.add(taps.offsets);
    layout.input = geometry_.part(index);
    layout.input_pitch = region_before(index).width;
    layout.output = to_device ? -1 : geometry_.part(index + 1);
    layout.out_groups = groups_of(stage.last().out_channels);
    layout.margin = geometry_.margins[index];
    layout.region = geometry_.regions[index];
    layout.first = constants_.add_layer(stage.first, taps.inputs, shape.first);
    if (stage.second.layer == nullptr) return;
    layout.second = constants_.add_layer(stage.second, register_inputs(shape.first), shape.second);
  }

  void add_tail() {
    const Layer &layer = *chain_.tail.layer;
    const native::Network &network = *chain_.network;
    const std::size_t count = geometry_.regions.size();
    const Taps taps = taps_of(layer, count, layer.kernel + kTailRows - 1);
    const TailScratch scratch = tail_scratch(network, geometry_.core);
    const std::int32_t start = geometry_.part(count + 1);
    TailLayout &tail = pass_.tail;
    tail.groups = chain_.tail_groups;
    tail.steps = taps.steps();
    tail.taps = constants_.add(taps.offsets);
    tail.input = geometry_.part(count);
    tail.input_pitch = region_before(count).width;
    tail.region = region_of(geometry_.core.width, geometry_.core.height / kTailRows);
    add_tail_outputs(layer, taps);
    tail.scale = network.scale;
    tail.sums = start;
    tail.unit = chain_.tail.unit;
    tail.has_base = network.has_base ? 1 : 0;
    tail.window = start + scratch.window;
    tail.columns = start + scratch.columns;
    if (!network.has_base) return;
    std::vector<float> weights(static_cast<std::size_t>(network.scale) * 5);
    native::fill_base_weights(network.scale, weights.data());
    tail.base_weights = constants_.add(weights);
  }

  // All phases of the first row, then those of the next.
  void add_tail_outputs(const Layer &layer, const Taps &taps) {
    const int scale = chain_.network->scale;
    const int phases = scale * scale;
    const auto size = static_cast<std::size_t>(chain_.tail_groups * kGroupChannels);
    std::vector<ProductOutput> outputs(size);
    std::vector<float> biases(size, 0.0F);
    std::vector<std::int32_t> targets(size, -1);
    for (int i = 0; i < kTailRows * phases; ++i) {
      const int row = i / phases;
      const int phase = i % phases;
      const auto at = static_cast<std::size_t>(i);
      outputs[at] = {phase, row};
      biases[at] = layer.bias[static_cast<std::size_t>(phase)] / chain_.tail.unit;
      targets[at] = (row * scale + phase / scale) * scale * geometry_.core.width + phase % scale;
    }
    pass_.tail.weights = constants_.add_weights(chain_.tail, taps.inputs, outputs);
    pass_.tail.biases = constants_.add(biases);
    pass_.tail.targets = constants_.add(targets);
  }

  const Chain &chain_;
  const Geometry &geometry_;
  PassLayout pass_{};
  Constants constants_;
};

// Bytes of the map that leaves the stages before `cut`.
std::int64_t map_bytes_at(const Chain &chain, int cut, int width, int height) {
  const Layer &layer = chain.stages[static_cast<std::size_t>(cut) - 1].last();
  return std::int64_t{width} * height * groups_of(layer.out_channels) * kGroupBytes;
}

FramePlan plan_of(const Chain &chain, const DeviceFacts &device, int width, int height,
                  const std::vector<Geometry> &passes) {
  FramePlan plan;
  plan.width = width;
  plan.height = height;
  for (const Geometry &geometry : passes) {
    plan.passes.push_back(PassBuilder(chain, geometry).build(device, width, height));
    if (geometry.range.begin == 0) continue;
    plan.map_bytes =
        std::max(plan.map_bytes, map_bytes_at(chain, geometry.range.begin, width, height));
  }
  return plan;
}

[[noreturn]] void refuse(const Chain &chain, Range range, const DeviceFacts &device) {
  const Layer &layer = *chain.stages[static_cast<std::size_t>(range.begin)].first.layer;
  throw Error(Status::kUnsupported,
              "the CUDA engine does not run this network: the stage of layer " + layer.name +
                  " does not fit into the " + std::to_string(device.shared_per_block) +
                  " bytes of shared memory that a block has");
}

}  // namespace

FramePlan plan_frame_with(const Chain &chain, const DeviceFacts &device, int width, int height,
                          const std::vector<int> &cuts, CoreSize core) {
  std::vector<Geometry> passes;
  int begin = 0;
  const auto add = [&](int end) {
    passes.push_back(geometry_of(chain, {begin, end}, core, kMostWarps / 2));
    if (!fits(passes.back(), device)) refuse(chain, {begin, end}, device);
    begin = end;
  };
  for (const int cut : cuts) add(cut);
  add(static_cast<int>(chain.stages.size()));
  return plan_of(chain, device, width, height, passes);
}

// The cheapest way through the stages: every cut is tried, and for every pass every tile.
FramePlan plan_frame(const Chain &chain, const DeviceFacts &device, int width, int height) {
  struct Step {
    Choice choice;  // its cycles are those of all passes so far
    int begin = 0;
  };
  const int count = static_cast<int>(chain.stages.size());
  std::vector<Step> steps(static_cast<std::size_t>(count) + 1);
  steps[0].choice.cycles = 0.0;
  for (int end = 1; end <= count; ++end) {
    Step &step = steps[static_cast<std::size_t>(end)];
    for (int begin = std::max(0, end - kMaxStages); begin < end; ++begin) {
      Choice choice = best_tile(chain, {begin, end}, device, width, height);
      choice.cycles += steps[static_cast<std::size_t>(begin)].choice.cycles;
      if (choice.cycles < step.choice.cycles) step = {choice, begin};
    }
    if (step.choice.warps == 0) refuse(chain, {end - 1, end}, device);
  }
  std::vector<Geometry> passes;
  for (int end = count; end > 0; end = steps[static_cast<std::size_t>(end)].begin) {
    const Step &step = steps[static_cast<std::size_t>(end)];
    const Choice &choice = step.choice;
    passes.push_back(geometry_of(chain, {step.begin, end}, choice.core, choice.warps));
  }
  std::reverse(passes.begin(), passes.end());
  return plan_of(chain, device, width, height, passes);
}

}  // namespace esr::cuda
