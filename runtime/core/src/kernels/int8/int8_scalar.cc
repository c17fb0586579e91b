// INT8 for every CPU: the exact result that all other ISAs give bit for bit.
#include "kernels/body/scalar_rows.h"
#include "kernels/families.h"

namespace esr::kernels {
namespace {

struct Int8Scalar {
  using Sum = std::int32_t;
  static constexpr int kChannels = 4;
  static constexpr std::uint8_t kBlockSizes[] = {4, 0};

  static ESR_INLINE Sum sum_from(Lane lane) { return static_cast<Sum>(lane); }
  static ESR_INLINE Lane lane_from(Sum sum) { return static_cast<Lane>(sum); }
  static ESR_INLINE Sum byte_of(Lane lane, int c) {
    return static_cast<std::int8_t>(static_cast<std::uint8_t>(lane >> (8 * c)));
  }
  // Wraps around as vectors do: a tail's sums that nobody reads grow from frame to frame.
  static ESR_INLINE Sum add(Sum sum, Lane lane, Lane weight) {
    auto total = static_cast<std::uint32_t>(sum);
    for (int c = 0; c < kChannels; ++c) {
      total += static_cast<std::uint32_t>(byte_of(lane, c) * byte_of(weight, c));
    }
    return static_cast<Sum>(total);
  }
  static ESR_INLINE float activate(const ConvRow &row, int channel, Sum sum) {
    const float value =
        __builtin_fmaf(static_cast<float>(sum), row.scale[channel], row.shift[channel]);
    return value < 0.0F ? value * row.slope[channel] : value;
  }
  static void write(const ConvRow &row, int channel, std::int32_t first, std::int32_t count,
                    const Sum (&sums)[4][kChunk]) {
    for (std::int32_t x = 0; x < count; ++x) {
      Lane packed = 0;
      for (int c = 0; c < kChannels; ++c) {
        const float value = activate(row, channel + c, sums[c][x]);
        if (row.is_float_out) {
          row.out[(channel + c) * row.out_pitch + first + x] = lane_from_float(value);
        }
        const std::int32_t q = rounded(clamped(value, -128.0F, 127.0F));
        packed |= (static_cast<Lane>(q) & 0xFFU) << (8 * c);
      }
      if (!row.is_float_out) row.out[channel / 4 * row.out_pitch + first + x] = packed;
    }
  }
};

constexpr RowKernels make_family() {
  RowKernels kernels{};
  kernels.isa = "scalar";
  kernels.vector_lanes = 1;
  kernels.channels_per_lane = 4;
  kernels.sample_bytes = 1;
  kernels.block_sizes = Int8Scalar::kBlockSizes;
  kernels.max_tail_phases = kMaxScale * kMaxScale;
  kernels.conv = scalar_conv_row<Int8Scalar>;
  kernels.tail = scalar_tail_row<Int8Scalar>;
  kernels.load = load_row<Uint8Sample>;
  kernels.interleave = interleave_bytes<kSignBits>;
  kernels.store = store_row<true>;
  kernels.quantize = quantize_bytes<0U>;
  kernels.clip = clip_row<ByteField<0>>;
  kernels.base = base_row;
  return kernels;
}

}  // namespace

constexpr RowKernels int8_scalar = make_family();

}  // namespace esr::kernels
