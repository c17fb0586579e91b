// float32 on AVX-512: 16 pixels in a vector, 24 or 28 sums in registers.
#include <immintrin.h>

#include "kernels/body/family.h"
#include "kernels/families.h"

namespace esr::kernels {
namespace {

struct Fp32Avx512 {
  using Acc = __m512;
  using Data = __m512;
  using Weights = __m512;
  using Factor = __m512;
  static constexpr int kLanes = 16;
  static constexpr int kWeightsPerLoad = 1;
  static constexpr int kChannels = 1;
  static constexpr bool kIsQuantized = false;
  static constexpr std::uint8_t kBlockSizes[] = {14, 12, 8, 4, 2, 1, 0};
  static constexpr int kMaxTailPhases = 9;
  static constexpr int vectors(int size) { return size >= 12 ? 2 : size == 8 ? 3 : 6; }
  static constexpr int tail_vectors(int phases) { return phases <= 4 ? 6 : phases <= 6 ? 4 : 3; }

  // GCC would fold one load into several FMA memory operands, which halves the speed: the empty
  // assembly keeps the vector in a register.
  static ESR_INLINE Data load(const Lane *lanes) {
    Data data = _mm512_loadu_ps(lanes);
    __asm__("" : "+v"(data));
    return data;
  }
  static ESR_INLINE Weights weights(const Lane *lane, int) {
    return _mm512_castsi512_ps(_mm512_set1_epi32(static_cast<int>(*lane)));
  }
  static ESR_INLINE Acc broadcast(const Lane *lane) { return weights(lane, 1); }
  static ESR_INLINE Acc mac(Acc sum, Data data, Weights weight, int) {
    return _mm512_fmadd_ps(weight, data, sum);
  }
  static ESR_INLINE Factor factor(const ConvRow &row, int channel) {
    return _mm512_set1_ps(row.slope[channel]);
  }
  // Faster than a masked product: mask registers are slow to fill.
  static ESR_INLINE Data pack(const Acc (&sums)[1], const Factor (&slopes)[1]) {
    const __m512 zero = _mm512_setzero_ps();
    return _mm512_fmadd_ps(_mm512_min_ps(sums[0], zero), slopes[0], _mm512_max_ps(sums[0], zero));
  }
  static ESR_INLINE void store(Lane *lanes, Data data) { _mm512_storeu_ps(lanes, data); }
  static ESR_INLINE Acc load_sums(const Lane *lanes) { return _mm512_loadu_ps(lanes); }
  static ESR_INLINE void store_sums(Lane *lanes, Acc sums) { _mm512_storeu_ps(lanes, sums); }
};

}  // namespace

constexpr RowKernels fp32_avx512 = float32_family<Fp32Avx512>("avx512");

}  // namespace esr::kernels
