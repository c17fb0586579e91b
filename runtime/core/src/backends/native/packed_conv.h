// A layer's weights in the order its kernel reads them.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "backends/native/network.h"
#include "base/aligned_buffer.h"
#include "kernels/families.h"
#include "kernels/row_kernels.h"

namespace esr::native {

using kernels::Lane;
using kernels::LaneType;
using kernels::RowKernels;

constexpr int kMaxChannelsPerLane = 4;

// The weight that one channel slot of a lane meets at a tap; channel -1 is an empty slot.
struct Slot {
  int channel = -1;
  int ky = 0;
  int kx = 0;
};
using TapSlots = std::array<Slot, kMaxChannelsPerLane>;

// What a layer's outputs become before the next layer reads them.
struct OutputForm {
  bool is_quantized = false;  // the next layer is INT8
  float scale = 0.0F;         // its input scale
};

struct PackedConv {
  const RowKernels *kernels = nullptr;  // family that multiplies
  LaneType type = LaneType::kFp32;
  int kernel = 1;
  int out_channels = 0;  // with those added to fill the last block
  int num_taps = 0;
  std::vector<std::uint8_t> blocks;
  AlignedBuffer<Lane> weights;
  AlignedBuffer<Lane> init;
  std::vector<float> scale;  // INT8: of a sum, to what leaves
  std::vector<float> shift;  // INT8: bias in the same unit
  std::vector<float> slope;
  bool is_float_out = false;     // INT8 sums leave as float32 lanes
  bool quantizes_after = false;  // float32 lanes are quantised in a pass of their own
  float quantize_scale = 0.0F;
  bool has_clip = false;
  float clip_low = 0.0F;
  float clip_high = 0.0F;
};

// Taps of a convolution over feature maps: channel groups, then rows, then columns.
std::vector<TapSlots> feature_taps(const Layer &layer, int channels_per_lane);

// Throws Error(kUnsupported) if INT8 sums of the layer could overflow 32 bits.
PackedConv pack_conv(const Layer &layer, LaneType type, const RowKernels &kernels,
                     const std::vector<TapSlots> &taps, const OutputForm &output);

// One lane of weights of output `o`.
Lane encode_weights(const Layer &layer, LaneType type, int channels_per_lane, int o,
                    const TapSlots &slots);

}  // namespace esr::native
