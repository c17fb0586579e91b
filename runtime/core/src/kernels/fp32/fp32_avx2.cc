// float32 on AVX2 and FMA: 8 pixels in a vector, 12 sums in registers.
#include <immintrin.h>

#include "kernels/body/family.h"
#include "kernels/families.h"

namespace esr::kernels {
namespace {

struct Fp32Avx2 {
  using Acc = __m256;
  using Data = __m256;
  using Weights = __m256;
  using Factor = __m256;
  static constexpr int kLanes = 8;
  static constexpr int kWeightsPerLoad = 1;
  static constexpr int kChannels = 1;
  static constexpr bool kIsQuantized = false;
  static constexpr std::uint8_t kBlockSizes[] = {4, 2, 1, 0};
  static constexpr int kMaxTailPhases = 6;
  static constexpr int vectors(int size) { return size == 4 ? 3 : 6; }
  static constexpr int tail_vectors(int phases) { return phases <= 2 ? 6 : phases <= 4 ? 3 : 2; }

  // Kept in a register: see fp32_avx512.cc.
  static ESR_INLINE Data load(const Lane *lanes) {
    Data data = _mm256_loadu_ps(reinterpret_cast<const float *>(lanes));
    __asm__("" : "+x"(data));
    return data;
  }
  static ESR_INLINE Weights weights(const Lane *lane, int) {
    return _mm256_broadcast_ss(reinterpret_cast<const float *>(lane));
  }
  static ESR_INLINE Acc broadcast(const Lane *lane) { return weights(lane, 1); }
  static ESR_INLINE Acc mac(Acc sum, Data data, Weights weight, int) {
    return _mm256_fmadd_ps(weight, data, sum);
  }
  static ESR_INLINE Factor factor(const ConvRow &row, int channel) {
    return _mm256_set1_ps(row.slope[channel]);
  }
  static ESR_INLINE Data pack(const Acc (&sums)[1], const Factor (&slopes)[1]) {
    return _mm256_blendv_ps(sums[0], _mm256_mul_ps(sums[0], slopes[0]), sums[0]);
  }
  static ESR_INLINE void store(Lane *lanes, Data data) {
    _mm256_storeu_ps(reinterpret_cast<float *>(lanes), data);
  }
  static ESR_INLINE Acc load_sums(const Lane *lanes) {
    return _mm256_loadu_ps(reinterpret_cast<const float *>(lanes));
  }
  static ESR_INLINE void store_sums(Lane *lanes, Acc sums) { store(lanes, sums); }
};

}  // namespace

constexpr RowKernels fp32_avx2 = float32_family<Fp32Avx2>("avx2");

}  // namespace esr::kernels
