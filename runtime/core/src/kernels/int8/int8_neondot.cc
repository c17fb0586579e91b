// INT8 on NEON with the dot-product instructions.
#include "kernels/body/int8_neon.h"
#include "kernels/families.h"

namespace esr::kernels {
namespace {

struct DotMac {
  static ESR_INLINE int32x4_t apply(int32x4_t sum, int8x16_t data, int8x16_t weight) {
    return vdotq_s32(sum, data, weight);
  }
};

}  // namespace

constexpr RowKernels int8_neondot = int8_family<Int8Neon<DotMac>, false>("neondot");

}  // namespace esr::kernels
