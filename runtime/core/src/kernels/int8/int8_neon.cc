// INT8 on plain NEON: byte products are summed in pairs as int16 (128 * 127 * 2 fits), then added.
#include "kernels/body/int8_neon.h"
#include "kernels/families.h"

namespace esr::kernels {
namespace {

struct PairwiseMac {
  static ESR_INLINE int32x4_t apply(int32x4_t sum, int8x16_t data, int8x16_t weight) {
    const int16x8_t low = vmull_s8(vget_low_s8(data), vget_low_s8(weight));
    const int16x8_t high = vmull_high_s8(data, weight);
    return vpadalq_s16(sum, vpaddq_s16(low, high));
  }
};

}  // namespace

constexpr RowKernels int8_neon = int8_family<Int8Neon<PairwiseMac>, false>("neon");

}  // namespace esr::kernels
