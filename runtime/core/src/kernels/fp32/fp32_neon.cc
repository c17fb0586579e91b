// float32 on NEON: 4 pixels in a vector, 24 sums in registers.
#include <arm_neon.h>

#include "kernels/body/family.h"
#include "kernels/families.h"

namespace esr::kernels {
namespace {

struct Fp32Neon {
  using Acc = float32x4_t;
  using Data = float32x4_t;
  using Weights = float32x4_t;
  using Factor = float;
  static constexpr int kLanes = 4;
  static constexpr int kWeightsPerLoad = 4;
  static constexpr int kChannels = 1;
  static constexpr bool kIsQuantized = false;
  static constexpr std::uint8_t kBlockSizes[] = {12, 8, 4, 2, 1, 0};
  static constexpr int kMaxTailPhases = 9;
  static constexpr int vectors(int size) { return size == 12 ? 2 : size == 8 ? 3 : 6; }
  static constexpr int tail_vectors(int phases) {
    return phases <= 4 ? 6 : phases <= 6 ? 4 : phases <= 8 ? 3 : 2;
  }

  static ESR_INLINE Data load(const Lane *lanes) { return vreinterpretq_f32_u32(vld1q_u32(lanes)); }
  static ESR_INLINE Acc broadcast(const Lane *lane) {
    return vreinterpretq_f32_u32(vld1q_dup_u32(lane));
  }
  // GCC would make four scalar loads of it: the empty assembly keeps the vector in a register.
  static ESR_INLINE Weights weights(const Lane *lanes, int count) {
    Weights weights = count == 1 ? broadcast(lanes) : load(lanes);
    __asm__("" : "+w"(weights));
    return weights;
  }
  static ESR_INLINE Acc mac(Acc sum, Data data, Weights weights, int i) {
    if (i == 0) return vfmaq_laneq_f32(sum, data, weights, 0);
    if (i == 1) return vfmaq_laneq_f32(sum, data, weights, 1);
    if (i == 2) return vfmaq_laneq_f32(sum, data, weights, 2);
    return vfmaq_laneq_f32(sum, data, weights, 3);
  }
  static ESR_INLINE Factor factor(const ConvRow &row, int channel) { return row.slope[channel]; }
  static ESR_INLINE Data pack(const Acc (&sums)[1], const Factor (&slopes)[1]) {
    const uint32x4_t is_negative = vcltzq_f32(sums[0]);
    return vbslq_f32(is_negative, vmulq_n_f32(sums[0], slopes[0]), sums[0]);
  }
  static ESR_INLINE void store(Lane *lanes, Data data) {
    vst1q_u32(lanes, vreinterpretq_u32_f32(data));
  }
  static ESR_INLINE Acc load_sums(const Lane *lanes) { return load(lanes); }
  static ESR_INLINE void store_sums(Lane *lanes, Acc sums) { store(lanes, sums); }
};

}  // namespace

constexpr RowKernels fp32_neon = float32_family<Fp32Neon>("neon");

}  // namespace esr::kernels
