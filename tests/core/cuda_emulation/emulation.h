// Runs a kernel's source on a CPU: what backends/cuda/warp.h offers, for threads that are fibers.
//
// A thread runs until it waits for others: at the block's barrier, or at an instruction of its
// whole warp. Which thread runs first is the test's choice; a kernel without a fault gives the same
// bits for every order. Shared memory is a heap block of the launch's exact size, filled with bytes
// that are NaN as a half float and as a float before every block.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>

#define ESR_DEVICE inline
#define ESR_UNROLL
#define ESR_UNROLL_BY(count)

struct float2 {
  float x, y;
};
struct uint2 {
  std::uint32_t x, y;
};
struct alignas(16) uint4 {
  std::uint32_t x, y, z, w;
};

namespace cuda_emulation {

enum class Order { kForward, kBackward, kShuffled };

struct Launch {
  int blocks = 1;
  int threads = 32;
  std::size_t shared_bytes = 0;
  Order order = Order::kForward;
};

// Runs the blocks one after the other. Throws std::logic_error if threads wait for one another for
// ever, or if an instruction is used in a way that a GPU would punish.
void launch(const Launch &launch, const std::function<void()> &kernel);

float float_from_half(std::uint16_t half);
std::uint16_t half_from(float value);

}  // namespace cuda_emulation

namespace esr::cuda {

using std::fmaf;

int thread_index();
int block_index();
int block_count();
void block_barrier();
unsigned char *shared_memory();
std::uint32_t half_pair(float low, float high);
void load_matrices(std::uint32_t (&matrices)[4], const unsigned char *row);
void multiply_add(float (&sums)[4], const std::uint32_t (&a)[4], uint2 b);

}  // namespace esr::cuda
