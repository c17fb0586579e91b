#include "backends/cuda/pass_builder.h"

#include <algorithm>

#include "backends/cuda/constants.h"
#include "backends/cuda/taps.h"
#include "backends/native/bicubic_base.h"
#include "base/error.h"

namespace esr::cuda {
namespace {

using native::Layer;

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

}  // namespace

PassPlan build_pass(const Chain &chain, const Geometry &geometry, const DeviceFacts &device,
                    int width, int height) {
  return PassBuilder(chain, geometry).build(device, width, height);
}

}  // namespace esr::cuda
