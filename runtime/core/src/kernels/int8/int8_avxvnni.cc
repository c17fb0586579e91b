// INT8 on AVX-VNNI: 8 pixels in a vector, 4 channels in a lane as unsigned bytes q + 128.
#include <immintrin.h>

#include "kernels/body/family.h"
#include "kernels/families.h"

namespace esr::kernels {
namespace {

struct Int8AvxVnni {
  struct Factor {
    __m256 scale;
    __m256 shift;
    __m256 slope;
  };
  using Acc = __m256i;
  using Data = __m256i;
  using Weights = __m256i;
  static constexpr int kLanes = 8;
  static constexpr int kWeightsPerLoad = 1;
  static constexpr int kChannels = 4;
  static constexpr bool kIsQuantized = true;
  static constexpr std::uint8_t kBlockSizes[] = {4, 0};
  static constexpr int kMaxTailPhases = 6;
  static constexpr int vectors(int) { return 3; }
  static constexpr int tail_vectors(int phases) { return phases <= 2 ? 6 : phases <= 4 ? 3 : 2; }

  static ESR_INLINE Data load(const Lane *lanes) {
    Data data = _mm256_loadu_si256(reinterpret_cast<const __m256i *>(lanes));
    __asm__("" : "+x"(data));
    return data;
  }
  static ESR_INLINE Weights weights(const Lane *lane, int) {
    return _mm256_set1_epi32(static_cast<int>(*lane));
  }
  static ESR_INLINE Acc broadcast(const Lane *lane) { return weights(lane, 1); }
  // Assembly: see int8_avx512vnni.cc.
  static ESR_INLINE Acc mac(Acc sum, Data data, Weights weight, int) {
    __asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sum) : "x"(data), "x"(weight));
    return sum;
  }
  static ESR_INLINE Factor factor(const ConvRow &row, int channel) {
    return {_mm256_set1_ps(row.scale[channel]), _mm256_set1_ps(row.shift[channel]),
            _mm256_set1_ps(row.slope[channel])};
  }
  static ESR_INLINE __m256 activate(Acc sum, const Factor &factor) {
    const __m256 real = _mm256_cvtepi32_ps(sum);
    const __m256 value = _mm256_fmadd_ps(real, factor.scale, factor.shift);
    return _mm256_blendv_ps(value, _mm256_mul_ps(value, factor.slope), value);
  }
  static ESR_INLINE Data pack(const Acc (&sums)[4], const Factor (&factors)[4]) {
    __m256i q[4];
    ESR_UNROLL(4)
    for (int c = 0; c < 4; ++c) q[c] = _mm256_cvtps_epi32(activate(sums[c], factors[c]));
    const __m256i packed =
        _mm256_packs_epi16(_mm256_packs_epi32(q[0], q[1]), _mm256_packs_epi32(q[2], q[3]));
    const __m256i order = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    return _mm256_xor_si256(_mm256_shuffle_epi8(packed, order), _mm256_set1_epi8(-128));
  }
  static ESR_INLINE void store(Lane *lanes, Data data) {
    _mm256_storeu_si256(reinterpret_cast<__m256i *>(lanes), data);
  }
  static ESR_INLINE void store_float(Lane *lanes, __m256 values) {
    _mm256_storeu_ps(reinterpret_cast<float *>(lanes), values);
  }
  static ESR_INLINE Acc load_sums(const Lane *lanes) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i *>(lanes));
  }
  static ESR_INLINE void store_sums(Lane *lanes, Acc sums) { store(lanes, sums); }
};

}  // namespace

constexpr RowKernels int8_avxvnni = int8_family<Int8AvxVnni, true>("avxvnni");

}  // namespace esr::kernels
