#include "backends/cuda/geometry.h"

#include <algorithm>

#include "backends/cuda/taps.h"

namespace esr::cuda {
namespace {

using native::Layer;

constexpr int kMostPixels = 4096;  // of a region, and its largest width: see position_of()
constexpr int kWidestRegion = 256;
constexpr std::int32_t kReservedBytes = 1024;  // of shared memory, for each block

std::int32_t aligned(std::int32_t bytes) { return divided_up(bytes, 16) * 16; }

std::int32_t dense_bytes(int steps, int groups) {
  return steps * groups * kFragmentBytes + 2 * groups * kGroupChannels * 4;
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

}  // namespace

Region region_of(int width, int height) { return {width, height, divided_up(1 << 20, width)}; }

int pixels_of(const Region &region) { return region.width * region.height; }

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

int steps_of(const Stage &stage) {
  const Layer &layer = *stage.first.layer;
  if (kStageShapes[stage.shape].from_picture) return picture_steps(layer.kernel);
  return map_steps(layer.kernel, layer.kernel, groups_of(layer.in_channels));
}

int tail_steps(const Chain &chain) {
  const Layer &tail = *chain.tail.layer;
  return map_steps(tail.kernel + kTailRows - 1, tail.kernel, groups_of(tail.in_channels));
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

}  // namespace esr::cuda
