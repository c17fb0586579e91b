// INT8 on NEON: 4 pixels in a vector, 4 channels in a lane as signed bytes. What both ISAs share;
// each adds its multiplication and its register blocks.
#pragma once

#include <arm_neon.h>

#include "kernels/body/family.h"

namespace esr::kernels {
namespace {

struct Int8Neon {
  struct Factor {
    float scale;
    float shift;
    float slope;
  };
  using Acc = int32x4_t;
  using Data = int8x16_t;
  using Weights = int8x16_t;
  static constexpr int kLanes = 4;
  static constexpr int kChannels = 4;
  static constexpr bool kIsQuantized = true;

  static ESR_INLINE Data load(const Lane *lanes) { return vreinterpretq_s8_u32(vld1q_u32(lanes)); }
  static ESR_INLINE Acc broadcast(const Lane *lane) {
    return vreinterpretq_s32_u32(vld1q_dup_u32(lane));
  }
  static ESR_INLINE Factor factor(const ConvRow &row, int channel) {
    return {row.scale[channel], row.shift[channel], row.slope[channel]};
  }
  static ESR_INLINE float32x4_t activate(Acc sum, const Factor &factor) {
    const float32x4_t value =
        vfmaq_n_f32(vdupq_n_f32(factor.shift), vcvtq_f32_s32(sum), factor.scale);
    return vbslq_f32(vcltzq_f32(value), vmulq_n_f32(value, factor.slope), value);
  }
  static ESR_INLINE int8x16_t pack(const Acc (&sums)[4], const Factor (&factors)[4]) {
    int16x4_t q[4];
    ESR_UNROLL(4)
    for (int c = 0; c < 4; ++c) q[c] = vqmovn_s32(vcvtnq_s32_f32(activate(sums[c], factors[c])));
    const int8x16_t planar =
        vcombine_s8(vqmovn_s16(vcombine_s16(q[0], q[1])), vqmovn_s16(vcombine_s16(q[2], q[3])));
    const uint8x16_t order = {0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15};
    return vqtbl1q_s8(planar, order);
  }
  static ESR_INLINE void store(Lane *lanes, int8x16_t data) {
    vst1q_u32(lanes, vreinterpretq_u32_s8(data));
  }
  static ESR_INLINE void store_float(Lane *lanes, float32x4_t values) {
    vst1q_u32(lanes, vreinterpretq_u32_f32(values));
  }
  static ESR_INLINE Acc load_sums(const Lane *lanes) {
    return vreinterpretq_s32_u32(vld1q_u32(lanes));
  }
  static ESR_INLINE void store_sums(Lane *lanes, Acc sums) {
    vst1q_u32(lanes, vreinterpretq_u32_s32(sums));
  }
};

}  // namespace
}  // namespace esr::kernels
