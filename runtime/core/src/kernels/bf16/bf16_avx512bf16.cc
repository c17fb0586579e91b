// bfloat16 on AVX512_BF16: 16 pixels in a vector, 2 channels in a lane, float32 sums.
#include <immintrin.h>

#include "kernels/body/family.h"
#include "kernels/families.h"

namespace esr::kernels {
namespace {

struct Bf16Avx512 {
  using Acc = __m512;
  using Data = __m512i;
  using Weights = __m512i;
  using Factor = __m512;
  static constexpr int kLanes = 16;
  static constexpr int kWeightsPerLoad = 1;
  static constexpr int kChannels = 2;
  static constexpr bool kIsQuantized = false;
  static constexpr std::uint8_t kBlockSizes[] = {14, 12, 8, 4, 2, 0};
  static constexpr int kMaxTailPhases = 9;
  static constexpr int vectors(int size) { return size >= 12 ? 2 : size == 8 ? 3 : 6; }
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
    return _mm512_castsi512_ps(_mm512_set1_epi32(static_cast<int>(*lane)));
  }
  // Assembly: see int8_avx512vnni.cc.
  static ESR_INLINE Acc mac(Acc sum, Data data, Weights weight, int) {
    __asm__("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(data), "v"(weight));
    return sum;
  }
  static ESR_INLINE Factor factor(const ConvRow &row, int channel) {
    return _mm512_set1_ps(row.slope[channel]);
  }
  static ESR_INLINE __m512 activate(Acc sum, Factor slope) {
    const __m512 zero = _mm512_setzero_ps();
    return _mm512_fmadd_ps(_mm512_min_ps(sum, zero), slope, _mm512_max_ps(sum, zero));
  }
  // VCVTNE2PS2BF16 puts one channel in each half; the permutation makes pairs of them.
  static ESR_INLINE Data pack(const Acc (&sums)[2], const Factor (&slopes)[2]) {
    const __m512i halves = reinterpret_cast<__m512i>(
        _mm512_cvtne2ps_pbh(activate(sums[1], slopes[1]), activate(sums[0], slopes[0])));
    const __m512i order =
        _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                         21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    return _mm512_permutexvar_epi16(order, halves);
  }
  static ESR_INLINE void store(Lane *lanes, Data data) { _mm512_storeu_si512(lanes, data); }
  static ESR_INLINE Acc load_sums(const Lane *lanes) { return _mm512_loadu_ps(lanes); }
  static ESR_INLINE void store_sums(Lane *lanes, Acc sums) { _mm512_storeu_ps(lanes, sums); }
};

}  // namespace

constexpr RowKernels bf16_avx512bf16 = bfloat16_family<Bf16Avx512>("avx512bf16");

}  // namespace esr::kernels
