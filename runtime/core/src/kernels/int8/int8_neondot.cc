// INT8 on NEON with the dot-product instructions.
#include "kernels/body/int8_neon.h"
#include "kernels/families.h"

namespace esr::kernels {
namespace {

struct Int8NeonDot : Int8Neon {
  static constexpr int kWeightsPerLoad = 4;
  static constexpr std::uint8_t kBlockSizes[] = {12, 8, 4, 0};
  static constexpr int kMaxTailPhases = 8;
  static constexpr int vectors(int size) { return size == 12 ? 2 : size == 8 ? 3 : 6; }
  static constexpr int tail_vectors(int phases) { return phases <= 4 ? 6 : phases <= 6 ? 4 : 3; }

  // Kept in a register: see fp32_neon.cc.
  static ESR_INLINE Weights weights(const Lane *lanes, int count) {
    Weights weights = count == 1 ? vreinterpretq_s8_u32(vld1q_dup_u32(lanes)) : load(lanes);
    __asm__("" : "+w"(weights));
    return weights;
  }
  static ESR_INLINE Acc mac(Acc sum, Data data, Weights weights, int i) {
    if (i == 0) return vdotq_laneq_s32(sum, data, weights, 0);
    if (i == 1) return vdotq_laneq_s32(sum, data, weights, 1);
    if (i == 2) return vdotq_laneq_s32(sum, data, weights, 2);
    return vdotq_laneq_s32(sum, data, weights, 3);
  }
};

}  // namespace

constexpr RowKernels int8_neondot = int8_family<Int8NeonDot, false>("neondot");

}  // namespace esr::kernels
