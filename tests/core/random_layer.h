// Layers and samples that are random and the same on every run.
#pragma once

#include <cstdint>

#include "backends/native/network.h"

class Random {
 public:
  explicit Random(std::uint32_t seed) : state_(seed * 2654435761U + 1U) {}

  std::uint32_t next() {  // xorshift
    state_ ^= state_ << 13;
    state_ ^= state_ >> 17;
    state_ ^= state_ << 5;
    return state_;
  }
  int whole(int low, int high) {
    return low + static_cast<int>(next() % static_cast<std::uint32_t>(high - low + 1));
  }
  float between(float low, float high) {
    return low + (high - low) * static_cast<float>(next() % 65536U) / 65536.0F;
  }

 private:
  std::uint32_t state_;
};

// A layer in float and in INT8 whose outputs have about the size of its inputs.
inline esr::native::Layer random_layer(int kernel, int in, int out, Random *random) {
  esr::native::Layer layer;
  layer.name = "random";
  layer.kernel = kernel;
  layer.in_channels = in;
  layer.out_channels = out;
  layer.is_quantized = true;
  layer.int8.input_scale = 0.02F;
  const int count = kernel * kernel * in * out;
  const float largest = 1.0F / static_cast<float>(kernel * in);
  for (int i = 0; i < count; ++i) {
    layer.weight.push_back(random->between(-largest, largest));
    layer.int8.weight.push_back(static_cast<std::int8_t>(random->whole(-127, 127)));
  }
  for (int o = 0; o < out; ++o) {
    layer.bias.push_back(random->between(-0.5F, 0.5F));
    layer.activation.slope.push_back(random->between(-0.5F, 1.5F));
    layer.int8.bias.push_back(random->between(-0.5F, 0.5F));
    layer.int8.weight_scale.push_back(random->between(0.001F, 0.02F));
  }
  return layer;
}

// Zeros where a 9x9 transposed convolution of stride `scale` and padding 4 has no tap.
inline void clear_transposed_zeros(int scale, esr::native::Layer *layer) {
  const auto is_tap = [&](int phase, int k) {
    const int position = phase + 4 - scale * (k - 2);
    return position >= 0 && position < 9;
  };
  int index = 0;
  for (int phase = 0; phase < layer->out_channels; ++phase) {
    for (int c = 0; c < layer->in_channels; ++c) {
      for (int ky = 0; ky < 5; ++ky) {
        for (int kx = 0; kx < 5; ++kx, ++index) {
          if (is_tap(phase / scale, ky) && is_tap(phase % scale, kx)) continue;
          layer->weight[static_cast<std::size_t>(index)] = 0.0F;
          layer->int8.weight[static_cast<std::size_t>(index)] = 0;
        }
      }
    }
  }
}
