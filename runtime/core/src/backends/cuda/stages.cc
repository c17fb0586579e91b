#include "backends/cuda/stages.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "backends/cuda/half.h"
#include "backends/cuda/pass.h"
#include "base/error.h"

namespace esr::cuda {
namespace {

using native::Layer;
using native::Network;

constexpr int kLargestKernel = 9;

[[noreturn]] void refuse(const std::string &why) {
  throw Error(Status::kUnsupported, "the CUDA engine does not run this network: " + why);
}

// The smallest shape that both layers fit into; -1 if there is none.
int shape_for(bool from_picture, int first, int second) {
  int best = -1;
  int best_size = 0;
  for (int i = 0; i < kStageShapeCount; ++i) {
    const StageShape &shape = kStageShapes[i];
    const bool fits = shape.from_picture == from_picture && shape.first >= first &&
                      (second == 0 ? shape.second == 0 : shape.second >= second);
    const int size = shape.first + shape.second;
    if (!fits || (best >= 0 && size >= best_size)) continue;
    best = i;
    best_size = size;
  }
  return best;
}

void check_layer(const ScaledLayer &scaled) {
  const Layer &layer = *scaled.layer;
  if (layer.kernel > kLargestKernel) {
    refuse("layer " + layer.name + " has a kernel of " + std::to_string(layer.kernel) +
           ", more than " + std::to_string(kLargestKernel));
  }
  const float largest = kLargestHalf * scaled.unit / scaled.input_unit;
  const auto fits = [&](float weight) { return std::fabs(weight) <= largest; };
  if (!std::all_of(layer.weight.begin(), layer.weight.end(), fits)) {
    refuse("layer " + layer.name + " has a weight beyond the range of fp16");
  }
}

// What each output holds on average, squared, if the inputs are independent.
std::vector<double> output_squares(const Layer &layer, const std::vector<double> &inputs) {
  const auto taps = static_cast<std::size_t>(layer.kernel * layer.kernel);
  std::vector<double> outputs;
  const float *weight = layer.weight.data();
  for (const float bias : layer.bias) {
    double sum = static_cast<double>(bias) * bias;
    for (const double square : inputs) {
      for (std::size_t i = 0; i < taps; ++i, ++weight) {
        sum += square * static_cast<double>(*weight) * *weight;
      }
    }
    outputs.push_back(sum);
  }
  return outputs;
}

bool is_plain(const native::Activation &activation) {
  const auto is_one = [](float slope) { return slope == 1.0F; };
  return !activation.has_clip &&
         std::all_of(activation.slope.begin(), activation.slope.end(), is_one);
}

// In the order of the layers. Inputs of the first are grey levels.
std::vector<ScaledLayer> scaled(const std::vector<Layer> &layers) {
  std::vector<ScaledLayer> result;
  std::vector<double> squares = {128.0 * 128.0};  // of what each channel holds, on average
  float unit = kPictureUnit;
  for (const Layer &layer : layers) {
    squares = output_squares(layer, squares);
    const double largest = *std::max_element(squares.begin(), squares.end());
    const int exponent = largest > 0.0 ? std::ilogb(largest) / 2 : 0;
    const float next = std::ldexp(1.0F, std::clamp(exponent, -100, 100));
    result.push_back({&layer, unit, next});
    unit = next;
  }
  return result;
}

Stage stage_from(const ScaledLayer &first, const ScaledLayer *second, bool from_picture) {
  Stage stage;
  stage.first = first;
  const int groups = groups_of(first.layer->out_channels);
  if (second != nullptr && second->layer->kernel == 1) {
    stage.shape = shape_for(from_picture, groups, groups_of(second->layer->out_channels));
    if (stage.shape >= 0) stage.second = *second;
  }
  if (stage.second.layer == nullptr) stage.shape = shape_for(from_picture, groups, 0);
  if (stage.shape < 0) {
    refuse("layer " + first.layer->name + " has " + std::to_string(first.layer->out_channels) +
           " outputs, more than 64");
  }
  return stage;
}

int tail_groups_for(int scale) {
  const int groups = groups_of(scale * scale * kTailRows);
  for (const int offered : kTailGroups) {
    if (offered == groups) return groups;
  }
  refuse("scale " + std::to_string(scale) + " is not 2, 3 or 4");
}

}  // namespace

int groups_of(int channels) { return (channels - 1) / kGroupChannels + 1; }

Chain chain_of(const Network &network) {
  if (network.upsamples_first) refuse("its layers read the enlarged picture");
  if (network.layers.size() < 2) refuse("a chain needs a convolution before its tail");
  const std::vector<ScaledLayer> layers = scaled(network.layers);
  for (const ScaledLayer &layer : layers) check_layer(layer);
  Chain chain;
  chain.network = &network;
  chain.tail = layers.back();
  chain.tail_groups = tail_groups_for(network.scale);
  if (!is_plain(chain.tail.layer->activation)) refuse("its tail has an activation");
  for (std::size_t i = 0; i + 1 < layers.size();) {
    const ScaledLayer *next = i + 2 < layers.size() ? &layers[i + 1] : nullptr;
    chain.stages.push_back(stage_from(layers[i], next, i == 0));
    i += chain.stages.back().second.layer != nullptr ? 2 : 1;
  }
  return chain;
}

}  // namespace esr::cuda
