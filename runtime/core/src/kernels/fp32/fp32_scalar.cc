// float32 for every CPU. Multiplies and adds round separately: the other ISAs use FMA and differ by
// that rounding.
#include "kernels/body/scalar_rows.h"
#include "kernels/families.h"

namespace esr::kernels {
namespace {

struct Fp32Scalar {
  using Sum = float;
  static constexpr int kChannels = 1;
  static constexpr std::uint8_t kBlockSizes[] = {1, 0};
  static constexpr int kMaxTailPhases = kMaxScale * kMaxScale;

  static ESR_INLINE float sum_from(Lane lane) { return float_from_lane(lane); }
  static ESR_INLINE Lane lane_from(float sum) { return lane_from_float(sum); }
  static ESR_INLINE float add(float sum, Lane lane, Lane weight) {
    return sum + float_from_lane(lane) * float_from_lane(weight);
  }
  static void write(const ConvRow &row, int channel, std::int32_t first, std::int32_t count,
                    const float (&sums)[1][kChunk]) {
    Lane *out = row.out + channel * row.out_pitch + first;
    const float slope = row.slope[channel];
    for (std::int32_t x = 0; x < count; ++x) {
      const float sum = sums[0][x];
      out[x] = lane_from_float(sum < 0.0F ? sum * slope : sum);
    }
  }
};

constexpr RowKernels make_family() {
  RowKernels kernels{};
  kernels.isa = "scalar";
  kernels.vector_lanes = 1;
  kernels.channels_per_lane = 1;
  kernels.sample_bytes = 4;
  kernels.block_sizes = Fp32Scalar::kBlockSizes;
  kernels.max_tail_phases = Fp32Scalar::kMaxTailPhases;
  kernels.conv = scalar_conv_row<Fp32Scalar>;
  kernels.tail = scalar_tail_row<Fp32Scalar>;
  kernels.load = load_row<Float32Sample>;
  kernels.interleave = interleave_floats;
  kernels.store = store_row<false>;
  kernels.clip = clip_row<Float32Field>;
  kernels.base = base_row;
  return kernels;
}

}  // namespace

constexpr RowKernels fp32_scalar = make_family();

}  // namespace esr::kernels
