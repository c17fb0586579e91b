// INT8 on AVX-512 VNNI: 16 pixels in a vector, 4 channels in a lane as unsigned bytes q + 128.
#include <immintrin.h>

#include "kernels/body/family.h"
#include "kernels/families.h"

namespace esr::kernels {
namespace {

struct Int8Avx512Vnni {
  struct Factor {
    __m512 scale;
    __m512 shift;
    __m512 slope;
  };
  using Acc = __m512i;
  using Data = __m512i;
  using Weights = __m512i;
  static constexpr int kLanes = 16;
  static constexpr int kWeightsPerLoad = 1;
  static constexpr int kChannels = 4;
  static constexpr bool kIsQuantized = true;
  static constexpr std::uint8_t kBlockSizes[] = {8, 4, 0};
  static constexpr int kMaxTailPhases = 9;
  static constexpr int vectors(int size) { return size == 4 ? 4 : 2; }
  static constexpr int tail_vectors(int phases) { return phases <= 4 ? 6 : phases <= 6 ? 4 : 3; }

  // Kept in a register: see fp32_avx512.cc.
  static ESR_INLINE Data load(const Lane *lanes) {
    Data data = _mm512_loadu_si512(lanes);
    __asm__("" : "+v"(data));
    return data;
  }
  static ESR_INLINE Weights weights(const Lane *lane, int) {
    return _mm512_set1_epi32(static_cast<int>(*lane));
  }
  static ESR_INLINE Acc broadcast(const Lane *lane) {
    return _mm512_set1_epi32(static_cast<int>(*lane));
  }
  // Assembly, since GCC copies and spills the sums around its intrinsic, at half the speed.
  static ESR_INLINE Acc mac(Acc sum, Data data, Weights weight, int) {
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(data), "v"(weight));
    return sum;
  }
  static ESR_INLINE Factor factor(const ConvRow &row, int channel) {
    return {_mm512_set1_ps(row.scale[channel]), _mm512_set1_ps(row.shift[channel]),
            _mm512_set1_ps(row.slope[channel])};
  }
  static ESR_INLINE __m512 activate(Acc sum, const Factor &factor) {
    const __m512 value = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), factor.scale, factor.shift);
    const __mmask16 is_negative = _mm512_movepi32_mask(_mm512_castps_si512(value));
    return _mm512_mask_mul_ps(value, is_negative, value, factor.slope);
  }
  static ESR_INLINE Data pack(const Acc (&sums)[4], const Factor (&factors)[4]) {
    __m512i q[4];
    ESR_UNROLL(4)
    for (int c = 0; c < 4; ++c) q[c] = _mm512_cvtps_epi32(activate(sums[c], factors[c]));
    const __m512i packed =
        _mm512_packs_epi16(_mm512_packs_epi32(q[0], q[1]), _mm512_packs_epi32(q[2], q[3]));
    const __m512i order =
        _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    return _mm512_xor_si512(_mm512_shuffle_epi8(packed, order), _mm512_set1_epi8(-128));
  }
  static ESR_INLINE void store(Lane *lanes, Data data) { _mm512_storeu_si512(lanes, data); }
  static ESR_INLINE void store_float(Lane *lanes, __m512 values) {
    _mm512_storeu_ps(lanes, values);
  }
  static ESR_INLINE Acc load_sums(const Lane *lanes) { return _mm512_loadu_si512(lanes); }
  static ESR_INLINE void store_sums(Lane *lanes, Acc sums) { store(lanes, sums); }
};

}  // namespace

constexpr RowKernels int8_avx512vnni = int8_family<Int8Avx512Vnni, true>("avx512vnni");

}  // namespace esr::kernels
