#include "backends/native/packed_conv.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "base/error.h"

namespace esr::native {
namespace {

Lane lane_from(float value) {
  Lane lane = 0;
  std::memcpy(&lane, &value, sizeof(lane));
  return lane;
}

// Round to nearest even; the weights are finite.
Lane bfloat16_from(float value) {
  const Lane bits = lane_from(value);
  return (bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16;
}

std::size_t weight_index(const Layer &layer, int o, const Slot &slot) {
  const auto k = static_cast<std::size_t>(layer.kernel);
  const auto in = static_cast<std::size_t>(layer.in_channels);
  return ((static_cast<std::size_t>(o) * in + static_cast<std::size_t>(slot.channel)) * k +
          static_cast<std::size_t>(slot.ky)) *
             k +
         static_cast<std::size_t>(slot.kx);
}

Lane encode_slot(const Layer &layer, LaneType type, int channels_per_lane, int o,
                 const Slot &slot) {
  if (slot.channel < 0) return 0;
  const std::size_t index = weight_index(layer, o, slot);
  if (type == LaneType::kFp32) return lane_from(layer.weight[index]);
  if (type == LaneType::kBf16) return bfloat16_from(layer.weight[index]);
  const auto value = static_cast<Lane>(static_cast<std::int32_t>(layer.int8.weight[index]));
  return channels_per_lane == 2 ? value & 0xFFFFU : value & 0xFFU;
}

// Few, equal blocks: 56 channels at most 14 wide are 14 x 4, at most 12 wide 12 x 4 + 8.
std::vector<std::uint8_t> split_channels(int channels, const std::uint8_t *sizes) {
  for (const std::uint8_t *size = sizes; *size != 0; ++size) {
    if (channels % *size == 0 && channels / *size <= channels / sizes[0] + 1) {
      return std::vector<std::uint8_t>(static_cast<std::size_t>(channels / *size), *size);
    }
  }
  std::vector<std::uint8_t> blocks;
  while (channels > 0) {
    const std::uint8_t *size = sizes;
    while (*size > channels && size[1] != 0) ++size;
    blocks.push_back(*size);
    channels -= *size;
  }
  return blocks;
}

int total_of(const std::vector<std::uint8_t> &blocks) {
  int total = 0;
  for (const std::uint8_t size : blocks) total += size;
  return total;
}

std::int64_t weight_sum(const Layer &layer, int o, bool absolute) {
  const std::size_t count = layer.int8.weight.size() / static_cast<std::size_t>(layer.out_channels);
  const std::int8_t *weight = layer.int8.weight.data() + static_cast<std::size_t>(o) * count;
  std::int64_t sum = 0;
  for (std::size_t i = 0; i < count; ++i) sum += absolute ? std::abs(weight[i]) : weight[i];
  return sum;
}

void check_sums(const Layer &layer, int o, std::int64_t init) {
  const std::int64_t largest = weight_sum(layer, o, true) * 255 + std::llabs(init);
  if (largest >= (std::int64_t{1} << 31)) {
    throw Error(Status::kUnsupported, "layer " + layer.name + " channel " + std::to_string(o) +
                                          " can sum to " + std::to_string(largest) +
                                          ", beyond 32 bits");
  }
}

void pack_int8_epilogue(const Layer &layer, const OutputForm &output, PackedConv *packed) {
  const QuantizedLayer &int8 = layer.int8;
  const double unit = output.is_quantized ? output.scale : 1.0;
  for (int o = 0; o < layer.out_channels; ++o) {
    const auto index = static_cast<std::size_t>(o);
    const std::int64_t init = -packed->kernels->zero_point * weight_sum(layer, o, false);
    check_sums(layer, o, init);
    packed->init[index] = static_cast<Lane>(static_cast<std::int32_t>(init));
    packed->scale[index] =
        static_cast<float>(static_cast<double>(int8.input_scale) * int8.weight_scale[index] / unit);
    packed->shift[index] = static_cast<float>(int8.bias[index] / unit);
  }
}

void pack_bias(const Layer &layer, PackedConv *packed) {
  for (std::size_t o = 0; o < static_cast<std::size_t>(layer.out_channels); ++o) {
    packed->init[o] = lane_from(layer.bias[o]);
  }
}

// Clip(low, high) in the units of the lanes; rounding is monotonic, so it may come first.
void pack_clip(const Layer &layer, const OutputForm &output, PackedConv *packed) {
  packed->has_clip = layer.activation.has_clip;
  packed->clip_low = layer.activation.low;
  packed->clip_high = layer.activation.high;
  if (!packed->has_clip || packed->type != LaneType::kInt8 || !output.is_quantized) return;
  packed->clip_low = std::clamp(std::nearbyint(packed->clip_low / output.scale), -128.0F, 127.0F);
  packed->clip_high = std::clamp(std::nearbyint(packed->clip_high / output.scale), -128.0F, 127.0F);
}

}  // namespace

std::vector<TapSlots> feature_taps(const Layer &layer, int channels_per_lane) {
  std::vector<TapSlots> taps;
  for (int first = 0; first < layer.in_channels; first += channels_per_lane) {
    for (int ky = 0; ky < layer.kernel; ++ky) {
      for (int kx = 0; kx < layer.kernel; ++kx) {
        TapSlots slots;
        for (int c = 0; c < channels_per_lane && first + c < layer.in_channels; ++c) {
          slots[static_cast<std::size_t>(c)] = {first + c, ky, kx};
        }
        taps.push_back(slots);
      }
    }
  }
  return taps;
}

Lane encode_weights(const Layer &layer, LaneType type, int channels_per_lane, int o,
                    const TapSlots &slots) {
  Lane lane = 0;
  const int bits = 32 / channels_per_lane;
  for (int c = 0; c < channels_per_lane; ++c) {
    const Lane field =
        encode_slot(layer, type, channels_per_lane, o, slots[static_cast<std::size_t>(c)]);
    lane |= channels_per_lane == 1 ? field : field << (bits * c);
  }
  return lane;
}

PackedConv pack_conv(const Layer &layer, LaneType type, const RowKernels &kernels,
                     const std::vector<TapSlots> &taps, const OutputForm &output) {
  PackedConv packed;
  packed.kernels = &kernels;
  packed.type = type;
  packed.kernel = layer.kernel;
  packed.blocks = split_channels(layer.out_channels, kernels.block_sizes);
  packed.out_channels = total_of(packed.blocks);
  packed.num_taps = static_cast<int>(taps.size());
  const auto channels = static_cast<std::size_t>(packed.out_channels);
  packed.weights = AlignedBuffer<Lane>(channels * taps.size());
  packed.init = AlignedBuffer<Lane>(channels);
  packed.scale.assign(channels, 1.0F);
  packed.shift.assign(channels, 0.0F);
  packed.slope = layer.activation.slope;
  packed.slope.resize(channels, 1.0F);
  std::size_t position = 0;
  int first = 0;
  for (const std::uint8_t size : packed.blocks) {
    for (const TapSlots &slots : taps) {
      for (int o = first; o < first + size; ++o, ++position) {
        if (o >= layer.out_channels) continue;
        packed.weights[position] = encode_weights(layer, type, kernels.channels_per_lane, o, slots);
      }
    }
    first += size;
  }
  if (type == LaneType::kInt8) {
    pack_int8_epilogue(layer, output, &packed);
    packed.is_float_out = !output.is_quantized;
  } else {
    pack_bias(layer, &packed);
    packed.quantizes_after = output.is_quantized;
    packed.quantize_scale = output.scale;
  }
  pack_clip(layer, output, &packed);
  return packed;
}

}  // namespace esr::native
