// INT8 on plain NEON: products of two channels are summed as int16, which fits since weights are
// within 127 (network_file.cc), then added to the int32 sum of their pixel.
#include "kernels/body/int8_neon.h"
#include "kernels/families.h"

namespace esr::kernels {
namespace {

// At most 12 sums in a block: with more, GCC or clang spills, as each mac needs a register more.
struct Int8NeonPairs : Int8Neon {
  using Weights = int16x8x2_t;  // channels 0 and 1 again and again, and channels 2 and 3
  static constexpr int kWeightsPerLoad = 1;
  static constexpr std::uint8_t kBlockSizes[] = {4, 0};
  static constexpr int kMaxTailPhases = 6;
  static constexpr int vectors(int) { return 3; }
  static constexpr int tail_vectors(int phases) { return phases <= 4 ? 3 : 2; }

  // Channels 0 and 1 of all pixels, then channels 2 and 3: products of the second half add to those
  // of the first.
  static ESR_INLINE Data load(const Lane *lanes) {
    const uint8x16_t order = {0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15};
    return vqtbl1q_s8(Int8Neon::load(lanes), order);
  }
  static ESR_INLINE Weights weights(const Lane *lane, int) {
    return vld2q_dup_s16(reinterpret_cast<const std::int16_t *>(lane));
  }
  static ESR_INLINE Acc mac(Acc sum, Data data, Weights weight, int) {
    const int8x16_t low = vreinterpretq_s8_s16(weight.val[0]);
    const int8x16_t high = vreinterpretq_s8_s16(weight.val[1]);
    const int16x8_t products = vmull_s8(vget_low_s8(data), vget_low_s8(low));
    return vpadalq_s16(sum, vmlal_high_s8(products, data, high));
  }
};

}  // namespace

constexpr RowKernels int8_neon = int8_family<Int8NeonPairs, false>("neon");

}  // namespace esr::kernels
