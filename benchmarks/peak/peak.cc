// Peak multiply-accumulate rate of this CPU, the floor that benchmarks/cpu_runtimes.py compares
// with. Compiled on the fly:
//
//   c++ -O3 -march=native -std=c++17 -pthread peak.cc -o peak
//   peak --list                 kernels of this CPU, one a line, as "fp32 avx512"
//   peak PRECISION ISA THREADS  for each line of seconds on stdin, a list on stdout: seconds per
//                               1e9 MACs in ten parts of that time
//
// Input and output are those of a worker (side_by_side/worker.py): JSON lines.
#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

namespace {

// Enough to hide 4 cycles of latency on two ports, few enough for 16 registers.
constexpr int kSums = 12;
constexpr long kRounds = 5000;  // about 10 microseconds
constexpr int kParts = 10;

// Makes the value unknown to the compiler, so that no product is hoisted or shared.
#if defined(__aarch64__)
#define PEAK_OPAQUE(value) asm volatile("" : "+w"(value))
#elif defined(__AVX512F__)
#define PEAK_OPAQUE(value) asm volatile("" : "+v"(value))
#else
#define PEAK_OPAQUE(value) asm volatile("" : "+x"(value))
#endif

template <class Sum, class Factor, class Step>
void repeat(Sum start, Factor factor, Step step) {
  Sum sums[kSums];
  for (Sum &sum : sums) sum = start;
  for (long round = 0; round < kRounds; ++round) {
    for (Sum &sum : sums) {
      PEAK_OPAQUE(factor);
      sum = step(sum, factor);
    }
  }
  for (Sum &sum : sums) PEAK_OPAQUE(sum);
}

struct Kernel {
  const char *name;
  double macs;  // of one step
  void (*run)();
};

const Kernel kKernels[] = {
#if defined(__AVX512F__)
    {"fp32 avx512", 16,
     [] {
       const __m512 weight = _mm512_set1_ps(0.3F);
       repeat(weight, weight,
              [&](__m512 sum, __m512 x) { return _mm512_fmadd_ps(x, weight, sum); });
     }},
#endif
#if defined(__AVX2__) && defined(__FMA__)
    {"fp32 avx2", 8,
     [] {
       const __m256 weight = _mm256_set1_ps(0.3F);
       repeat(weight, weight,
              [&](__m256 sum, __m256 x) { return _mm256_fmadd_ps(x, weight, sum); });
     }},
#endif
#if defined(__AVX512BF16__)
    {"bf16 avx512bf16", 32,
     [] {
       const __m512 start = _mm512_set1_ps(0.3F);
       const __m512bh weight = _mm512_cvtne2ps_pbh(start, start);
       repeat(start, weight,
              [&](__m512 sum, __m512bh x) { return _mm512_dpbf16_ps(sum, x, weight); });
     }},
#endif
#if defined(__AVX512VNNI__)
    {"int8 avx512vnni", 64,
     [] {
       const __m512i weight = _mm512_set1_epi8(57);
       repeat(weight, weight,
              [&](__m512i sum, __m512i x) { return _mm512_dpbusd_epi32(sum, x, weight); });
     }},
#endif
#if defined(__AVXVNNI__)
    {"int8 avxvnni", 32,
     [] {
       const __m256i weight = _mm256_set1_epi8(57);
       repeat(weight, weight,
              [&](__m256i sum, __m256i x) { return _mm256_dpbusd_avx_epi32(sum, x, weight); });
     }},
#endif
#if defined(__AVX2__)
    // Widened to 16 bits, since the 8-bit multiply-add saturates and is not exact.
    {"int8 avx2", 16,
     [] {
       const __m256i weight = _mm256_set1_epi16(57);
       repeat(weight, weight, [&](__m256i sum, __m256i x) {
         return _mm256_add_epi32(sum, _mm256_madd_epi16(x, weight));
       });
     }},
#endif
#if defined(__aarch64__)
    {"fp32 neon", 4,
     [] {
       const float32x4_t weight = vdupq_n_f32(0.3F);
       repeat(weight, weight,
              [&](float32x4_t sum, float32x4_t x) { return vfmaq_f32(sum, x, weight); });
     }},
    {"int8 neon", 8,
     [] {
       const int8x16_t weight = vdupq_n_s8(57);
       repeat(vdupq_n_s32(0), weight, [&](int32x4_t sum, int8x16_t x) {
         return vpadalq_s16(sum, vmull_s8(vget_low_s8(x), vget_low_s8(weight)));
       });
     }},
#endif
#if defined(__ARM_FEATURE_DOTPROD)
    {"int8 neondot", 16,
     [] {
       const int8x16_t weight = vdupq_n_s8(57);
       repeat(vdupq_n_s32(0), weight,
              [&](int32x4_t sum, int8x16_t x) { return vdotq_s32(sum, x, weight); });
     }},
#endif
    {"", 0, [] {}}  // keeps the table non-empty elsewhere
};

double now() {
  const auto time = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double>(time).count();
}

// Seconds for 1e9 MACs when all threads run the kernel for `seconds`.
double measure(const Kernel &kernel, int threads, double seconds) {
  std::atomic<int> waiting{threads};
  std::vector<double> macs(threads), begins(threads), ends(threads);
  const auto work = [&](int index) {
    waiting.fetch_sub(1);
    while (waiting.load() > 0) {
    }
    begins[index] = now();
    do {
      kernel.run();
      macs[index] += kernel.macs * kSums * kRounds;
      ends[index] = now();
    } while (ends[index] < begins[index] + seconds);
  };
  std::vector<std::thread> others;
  for (int index = 1; index < threads; ++index) others.emplace_back(work, index);
  work(0);
  for (std::thread &other : others) other.join();
  double rate = 0;
  for (int index = 0; index < threads; ++index) {
    rate += macs[index] / (ends[index] - begins[index]);
  }
  return 1e9 / rate;
}

}  // namespace

int main(int argc, char **argv) {
  if (argc == 2 && std::string(argv[1]) == "--list") {
    for (const Kernel &kernel : kKernels) {
      if (kernel.macs > 0) std::puts(kernel.name);
    }
    return 0;
  }
  const int threads = argc == 4 ? std::atoi(argv[3]) : 0;
  const std::string name = argc == 4 ? std::string(argv[1]) + " " + argv[2] : "";
  for (const Kernel &kernel : kKernels) {
    if (threads < 1 || kernel.name != name) continue;
    std::printf("{\"version\": \"\", \"detail\": \"%s\"}\n", kernel.name);
    std::fflush(stdout);
    double seconds = 0;
    while (std::scanf("%lf", &seconds) == 1) {
      for (int part = 0; part < kParts; ++part) {
        const double result = measure(kernel, threads, seconds / kParts);
        std::printf("%s%.9g", part == 0 ? "[" : ", ", result);
      }
      std::puts("]");
      std::fflush(stdout);
    }
    std::puts("{}");
    return 0;
  }
  std::fputs("usage: peak --list | peak PRECISION ISA THREADS\n", stderr);
  return 2;
}
