// INT8 on AVX2, widened to int16: the byte multiply-add of AVX2 saturates and is not exact.
#include <immintrin.h>

#include "kernels/body/family.h"
#include "kernels/families.h"

namespace esr::kernels {
namespace {

struct Int8Avx2 {
  struct Factor {
    __m256 scale;
    __m256 shift;
    __m256 slope;
  };
  // As a vector of int32: GCC copies and spills sums that are __m256i.
  using Acc = std::int32_t __attribute__((vector_size(32)));
  using Data = __m256i;
  using Weights = __m256i;
  static constexpr int kLanes = 8;
  static constexpr int kWeightsPerLoad = 1;
  static constexpr int kChannels = 2;
  static constexpr bool kIsQuantized = true;
  static constexpr std::uint8_t kBlockSizes[] = {4, 2, 0};
  static constexpr int kMaxTailPhases = 4;
  static constexpr int vectors(int size) { return size == 4 ? 2 : 4; }
  static constexpr int tail_vectors(int phases) { return phases <= 2 ? 4 : phases <= 4 ? 2 : 1; }

  static ESR_INLINE Data load(const Lane *lanes) {
    Data data = _mm256_loadu_si256(reinterpret_cast<const __m256i *>(lanes));
    __asm__("" : "+x"(data));
    return data;
  }
  static ESR_INLINE Weights weights(const Lane *lane, int) {
    return _mm256_set1_epi32(static_cast<int>(*lane));
  }
  static ESR_INLINE Acc broadcast(const Lane *lane) {
    return reinterpret_cast<Acc>(weights(lane, 1));
  }
  static ESR_INLINE Acc mac(Acc sum, Data data, Weights weight, int) {
    return sum + reinterpret_cast<Acc>(_mm256_madd_epi16(data, weight));
  }
  static ESR_INLINE Factor factor(const ConvRow &row, int channel) {
    return {_mm256_set1_ps(row.scale[channel]), _mm256_set1_ps(row.shift[channel]),
            _mm256_set1_ps(row.slope[channel])};
  }
  static ESR_INLINE __m256 activate(Acc sum, const Factor &factor) {
    const __m256 real = _mm256_cvtepi32_ps(reinterpret_cast<__m256i>(sum));
    const __m256 value = _mm256_fmadd_ps(real, factor.scale, factor.shift);
    return _mm256_blendv_ps(value, _mm256_mul_ps(value, factor.slope), value);
  }
  static ESR_INLINE Data pack(const Acc (&sums)[2], const Factor (&factors)[2]) {
    const __m256i a = _mm256_cvtps_epi32(activate(sums[0], factors[0]));
    const __m256i b = _mm256_cvtps_epi32(activate(sums[1], factors[1]));
    const __m256i pairs =
        _mm256_packs_epi32(_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
    return _mm256_max_epi16(_mm256_min_epi16(pairs, _mm256_set1_epi16(127)),
                            _mm256_set1_epi16(-128));
  }
  static ESR_INLINE void store(Lane *lanes, Data data) {
    _mm256_storeu_si256(reinterpret_cast<__m256i *>(lanes), data);
  }
  static ESR_INLINE void store_float(Lane *lanes, __m256 values) {
    _mm256_storeu_ps(reinterpret_cast<float *>(lanes), values);
  }
  static ESR_INLINE Acc load_sums(const Lane *lanes) {
    return reinterpret_cast<Acc>(_mm256_loadu_si256(reinterpret_cast<const __m256i *>(lanes)));
  }
  static ESR_INLINE void store_sums(Lane *lanes, Acc sums) {
    store(lanes, reinterpret_cast<__m256i>(sums));
  }
};

}  // namespace

constexpr RowKernels int8_avx2 = int8_as_int16_family<Int8Avx2>("avx2");

}  // namespace esr::kernels
