// A plain chain of convolutions, as the native file describes it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace esr::native {

// Bounds that network_file.cc enforces, so that no product of them overflows 32 bits.
constexpr int kMaxLayers = 64;
constexpr int kMaxChannels = 256;
constexpr int kMaxKernel = 15;
constexpr int kMaxRadius = 256;

// What follows a convolution. ReLU is a PReLU of slope 0; no activation is a PReLU of slope 1.
struct Activation {
  std::vector<float> slope;  // one per output channel, finite
  bool has_clip = false;     // then the result is clamped to low..high
  float low = 0.0F;
  float high = 0.0F;
};

// The layer in INT8. A real activation is input_scale * q with q in -128..127, a real weight
// weight_scale[out] * weight[out][in][ky][kx]; outside the frame q is `border`.
struct QuantizedLayer {
  std::vector<std::int8_t> weight;  // [out][in][kernel][kernel]
  std::vector<float> weight_scale;  // [out], positive and finite
  std::vector<float> bias;          // [out], real values, finite
  float input_scale = 0.0F;         // positive and finite
  std::int32_t border = 0;          // -128 (black, first layer) or 0
};

// Odd square kernel, stride 1, borders padded with zeros to keep the size.
struct Layer {
  std::string name;
  int kernel = 1;
  int in_channels = 1;
  int out_channels = 1;
  std::vector<float> weight;  // [out][in][kernel][kernel]
  std::vector<float> bias;    // [out]
  Activation activation;
  bool is_quantized = false;
  QuantizedLayer int8;  // only if is_quantized
};

// Grey levels (0..255, float) of one channel to grey levels, `scale` times larger. Usually the
// layers read the LR picture, and the last one has scale*scale outputs, the phases of
// depth-to-space: phase ry*scale+rx of LR pixel (x, y) is SR pixel (x*scale+rx, y*scale+ry). With
// `upsamples_first`, as in VDSR, they read MATLAB bicubic of it, pad with zeros beyond the enlarged
// frame, and the last one has one output. With `has_base` MATLAB bicubic of the input is added.
struct Network {
  int scale = 2;
  bool upsamples_first = false;
  bool has_base = false;
  bool has_int8 = false;  // the file carries INT8 for at least one layer
  std::vector<Layer> layers;

  int phases() const { return upsamples_first ? 1 : scale * scale; }  // outputs of the last layer
  int layer_radius() const;  // how far the layers see, in pixels of the picture that they read
  int radius() const;        // how far, in LR pixels, an output sees; at least 2 with a base
};

}  // namespace esr::native
