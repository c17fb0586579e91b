#include "backends/cuda/constants.h"

#include <cstring>

#include "backends/cuda/half.h"

namespace esr::cuda {
namespace {

constexpr std::size_t kPart = 16;

float weight_of(const native::Layer &layer, const ProductInput &input,
                const ProductOutput &output) {
  if (input.ky < 0 || output.channel < 0) return 0.0F;
  const int ky = input.ky - output.row;
  const int kernel = layer.kernel;
  if (ky < 0 || ky >= kernel || input.kx >= kernel) return 0.0F;
  if (input.channel >= layer.in_channels || output.channel >= layer.out_channels) return 0.0F;
  const int row = (output.channel * layer.in_channels + input.channel) * kernel + ky;
  return layer.weight[static_cast<std::size_t>(row * kernel + input.kx)];
}

std::uint16_t half_of(float weight, bool is_rest) {
  const std::uint16_t half = half_from_float(weight);
  return is_rest ? half_from_float(weight - float_from_half(half)) : half;
}

std::vector<float> padded(const std::vector<float> &values, std::size_t size, float factor) {
  std::vector<float> result(size, 0.0F);
  for (std::size_t i = 0; i < values.size() && i < size; ++i) result[i] = values[i] * factor;
  return result;
}

}  // namespace

std::int32_t Constants::add_bytes(const void *data, std::size_t size) {
  const std::size_t offset = bytes_.size();
  bytes_.resize(offset + (size + kPart - 1) / kPart * kPart);
  std::memcpy(bytes_.data() + offset, data, size);
  return static_cast<std::int32_t>(offset);
}

std::int32_t Constants::add(const std::vector<std::int32_t> &values) {
  return add_bytes(values.data(), values.size() * sizeof(values[0]));
}

std::int32_t Constants::add(const std::vector<float> &values) {
  return add_bytes(values.data(), values.size() * sizeof(values[0]));
}

std::int32_t Constants::add_weights(const ScaledLayer &scaled,
                                    const std::vector<ProductInput> &inputs,
                                    const std::vector<ProductOutput> &outputs) {
  const float factor = scaled.input_unit / scaled.unit;
  std::vector<std::uint16_t> halves;
  halves.reserve(inputs.size() * outputs.size());
  for (std::size_t step = 0; step < inputs.size(); step += 16) {
    for (std::size_t group = 0; group < outputs.size(); group += 8) {
      for (std::size_t lane = 0; lane < 32; ++lane) {
        for (const std::size_t k : {0U, 1U, 8U, 9U}) {
          const ProductInput &input = inputs[step + lane % 4 * 2 + k];
          const ProductOutput &output = outputs[group + lane / 4];
          const float weight = weight_of(*scaled.layer, input, output) * factor;
          halves.push_back(half_of(weight, input.is_rest));
        }
      }
    }
  }
  return add_bytes(halves.data(), halves.size() * sizeof(halves[0]));
}

Dense Constants::add_layer(const ScaledLayer &scaled, const std::vector<ProductInput> &inputs,
                           int groups) {
  const auto outputs = static_cast<std::size_t>(groups * kGroupChannels);
  std::vector<ProductOutput> channels(outputs);
  for (std::size_t i = 0; i < outputs; ++i) channels[i].channel = static_cast<int>(i);
  const native::Layer &layer = *scaled.layer;
  const float factor = 1.0F / scaled.unit;
  Dense dense{};
  dense.weights = add_weights(scaled, inputs, channels);
  dense.biases = add(padded(layer.bias, outputs, factor));
  dense.slopes = add(padded(layer.activation.slope, outputs, 1.0F));
  dense.has_clip = layer.activation.has_clip ? 1 : 0;
  dense.low = layer.activation.low * factor;
  dense.high = layer.activation.high * factor;
  return dense;
}

}  // namespace esr::cuda
