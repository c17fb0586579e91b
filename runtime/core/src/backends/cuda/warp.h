// The few things that kernels need beyond C++: instructions of the GPU, or their stand-ins of
// tests/core/cuda_emulation, which run a kernel on a CPU.
#pragma once

#include <cstdint>

#ifdef __CUDACC__

#define ESR_DEVICE __device__ __forceinline__
#define ESR_UNROLL _Pragma("unroll")
#define ESR_PRAGMA(text) _Pragma(#text)
#define ESR_UNROLL_BY(count) ESR_PRAGMA(unroll count)

namespace esr::cuda {

ESR_DEVICE int thread_index() { return static_cast<int>(threadIdx.x); }
ESR_DEVICE int block_index() { return static_cast<int>(blockIdx.x); }
ESR_DEVICE int block_count() { return static_cast<int>(gridDim.x); }
ESR_DEVICE void block_barrier() { __syncthreads(); }

ESR_DEVICE unsigned char *shared_memory() {
  extern __shared__ __align__(16) unsigned char memory[];
  return memory;
}

// Two floats to half floats, rounded to nearest even; `low` in the low 16 bits.
ESR_DEVICE std::uint32_t half_pair(float low, float high) {
  std::uint32_t pair;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}

// Four 8x8 matrices of half floats from shared memory. Lanes 8i .. 8i+7 give the addresses of the
// rows of matrix i, 16 aligned bytes each; lane l gets elements 2(l%4) and 2(l%4)+1 of row l/4.
ESR_DEVICE void load_matrices(std::uint32_t (&matrices)[4], const unsigned char *row) {
  const auto address = static_cast<std::uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(matrices[0]), "=r"(matrices[1]), "=r"(matrices[2]), "=r"(matrices[3])
               : "r"(address));
}

// sums += a * b: 16x16 times 16x8 half floats, float32 sums. With g = lane/4 and t = lane%4:
// a[0], a[1]: inputs 2t, 2t+1 of rows g and g+8; a[2], a[3]: inputs 2t+8, 2t+9 of these rows
// b.x, b.y: inputs 2t, 2t+1 and 2t+8, 2t+9 for output g
// sums[0], sums[1]: outputs 2t, 2t+1 of row g; sums[2], sums[3]: of row g+8
ESR_DEVICE void multiply_add(float (&sums)[4], const std::uint32_t (&a)[4], uint2 b) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b.x), "r"(b.y));
}

}  // namespace esr::cuda

#else
#include "cuda_emulation/emulation.h"
#endif
