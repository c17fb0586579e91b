#include "backends/native/chain.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "backends/native/bicubic_base.h"
#include "base/error.h"

namespace esr::native {
namespace {

LaneType type_of(const Layer &layer, LaneType wanted) {
  if (wanted != LaneType::kInt8) return wanted;
  return layer.is_quantized ? LaneType::kInt8 : LaneType::kFp32;
}

const RowKernels &kernels_for(LaneType type) {
  const RowKernels *kernels = kernels::select_family(type);
  if (kernels == nullptr) {
    throw Error(Status::kUnsupported, "this CPU has no kernels for the precision");
  }
  return *kernels;
}

OutputForm form_before(const Layer &next, LaneType wanted) {
  if (type_of(next, wanted) != LaneType::kInt8) return {};
  return {true, next.int8.input_scale};
}

// The first layer's inputs are the 256 levels themselves, its zeros are black.
void check_int8_inputs(const Network &network) {
  for (std::size_t i = 0; i < network.layers.size(); ++i) {
    const Layer &layer = network.layers[i];
    if (!layer.is_quantized) continue;
    const std::int32_t border = i == 0 ? -128 : 0;
    const bool is_picture_scale = std::abs(layer.int8.input_scale * 255.0F - 1.0F) < 1e-5F;
    if (layer.int8.border != border || (i == 0 && !is_picture_scale)) {
      throw Error(Status::kUnsupported,
                  "layer " + layer.name + " has int8 inputs that this engine does not form");
    }
  }
}

void check_network(const Network &network, LaneType type) {
  if (network.layers.size() < 2) {
    throw Error(Status::kUnsupported, "a chain needs a convolution before its tail");
  }
  if (network.scale < 2 || network.scale > kernels::kMaxScale) {
    throw Error(Status::kUnsupported,
                "scale " + std::to_string(network.scale) + " is not 2, 3 or 4");
  }
  if (type != LaneType::kInt8) return;
  if (!network.has_int8) {
    throw Error(Status::kUnsupported, "the model holds no int8 weights; export it with int8");
  }
  check_int8_inputs(network);
}

std::vector<TapSlots> slots_of(const PictureTaps &picture) {
  std::vector<TapSlots> taps;
  for (const PictureTap &tap : picture.taps) taps.push_back(tap.slots);
  return taps;
}

int lanes_of(int channels, int channels_per_lane) { return (channels - 1) / channels_per_lane + 1; }

// How the outputs of a layer lie in memory: lanes per pixel, and what zero looks like.
void describe_output(const PackedConv &layer, const OutputForm &output, LaneType wanted,
                     Stage *stage) {
  const RowKernels &form = output.is_quantized
                               ? kernels_for(LaneType::kInt8)
                               : kernels_for(wanted == LaneType::kInt8 ? LaneType::kFp32 : wanted);
  stage->out_groups = lanes_of(layer.out_channels, form.channels_per_lane);
  stage->border = form.border;
}

void add_layer(const Network &network, std::size_t index, LaneType wanted, Chain *chain) {
  const Layer &layer = network.layers[index];
  const LaneType type = type_of(layer, wanted);
  const RowKernels &family = kernels_for(type);
  const OutputForm output = form_before(network.layers[index + 1], wanted);
  std::vector<TapSlots> taps = feature_taps(layer, family.channels_per_lane);
  if (index == 0) {
    chain->picture = &family;
    chain->picture_taps = plan_picture_taps(layer.kernel, family.channels_per_lane);
    taps = slots_of(chain->picture_taps);
  }
  if (index == 0 || layer.kernel > 1) {
    chain->stages.emplace_back();
    chain->stages.back().radius = layer.kernel / 2;
  }
  Stage &stage = chain->stages.back();
  stage.layers.push_back(pack_conv(layer, type, family, taps, output));
  describe_output(stage.layers.back(), output, wanted, &stage);
}

// From the tail backwards: what each stage must compute beyond a core, and keep.
void link_stages(Chain *chain) {
  int need = chain->tail_radius();
  int rows_kept = 1;  // the tail takes each row at once
  int next_radius = chain->tail_radius();
  for (auto stage = chain->stages.rbegin(); stage != chain->stages.rend(); ++stage) {
    stage->need = need;
    stage->rows_kept = rows_kept;
    stage->next_radius = next_radius;
    need += stage->radius;
    rows_kept = 2 * stage->radius + 1;
    next_radius = stage->radius;
  }
  chain->radius = std::max(need, chain->has_base && chain->enlargement == 1 ? 2 : 0);
}

}  // namespace

Chain build_chain(const Network &network, LaneType type) {
  check_network(network, type);
  Chain chain;
  chain.scale = network.scale;
  chain.enlargement = network.upsamples_first ? network.scale : 1;
  chain.has_base = network.has_base;
  chain.type = type;
  chain.floats = &kernels_for(LaneType::kFp32);
  if (type == LaneType::kInt8) chain.bytes = &kernels_for(LaneType::kInt8);
  for (std::size_t i = 0; i + 1 < network.layers.size(); ++i) {
    add_layer(network, i, type, &chain);
  }
  const Layer &last = network.layers.back();
  const LaneType tail_type = type_of(last, type);
  chain.tail =
      pack_tail(last, tail_type, kernels_for(tail_type), network.scale / chain.enlargement);
  fill_base_weights(network.scale, chain.base_weights.data());
  link_stages(&chain);
  return chain;
}

}  // namespace esr::native
