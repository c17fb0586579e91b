#include "cuda_emulation/emulation.h"

#include <ucontext.h>

#include <algorithm>
#include <cstring>
#include <exception>
#include <memory>
#include <numeric>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "sanitizers.h"

#if HAS_ADDRESS_SANITIZER
#include <sanitizer/common_interface_defs.h>
#endif

namespace cuda_emulation {
namespace {

constexpr int kWarp = 32;
constexpr std::size_t kStackBytes = std::size_t{256} << 10;

[[noreturn]] void fail(const std::string &message) { throw std::logic_error(message); }

enum class Wait { kNothing, kBarrier, kLoadMatrices, kMultiplyAdd, kEnd };

// A thread and what it brought to the instruction that it waits at.
struct Fiber {
  ucontext_t context;
  std::unique_ptr<char[]> stack;
  Wait wait = Wait::kNothing;
  std::uint32_t *matrices = nullptr;
  const unsigned char *row = nullptr;
  float *sums = nullptr;
  const std::uint32_t *a = nullptr;
  uint2 b{};
};

struct Block {
  const Launch *launch = nullptr;
  const std::function<void()> *kernel = nullptr;
  std::vector<Fiber> fibers;
  std::vector<unsigned char> shared;
  ucontext_t scheduler;
  int current = 0;
  int index = 0;
  std::exception_ptr failure;
};

Block *block = nullptr;

#if HAS_ADDRESS_SANITIZER
const void *scheduler_stack = nullptr;
std::size_t scheduler_size = 0;
#endif

void switch_to_fiber(Fiber &fiber) {
#if HAS_ADDRESS_SANITIZER
  void *fake = nullptr;
  __sanitizer_start_switch_fiber(&fake, fiber.stack.get(), kStackBytes);
  swapcontext(&block->scheduler, &fiber.context);
  __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#else
  swapcontext(&block->scheduler, &fiber.context);
#endif
}

void switch_to_scheduler(Fiber &fiber) {
#if HAS_ADDRESS_SANITIZER
  void *fake = nullptr;
  const bool ends = fiber.wait == Wait::kEnd;
  __sanitizer_start_switch_fiber(ends ? nullptr : &fake, scheduler_stack, scheduler_size);
  swapcontext(&fiber.context, &block->scheduler);
  __sanitizer_finish_switch_fiber(fake, &scheduler_stack, &scheduler_size);
#else
  swapcontext(&fiber.context, &block->scheduler);
#endif
}

void run_fiber() {
#if HAS_ADDRESS_SANITIZER
  __sanitizer_finish_switch_fiber(nullptr, &scheduler_stack, &scheduler_size);
#endif
  Fiber &fiber = block->fibers[static_cast<std::size_t>(block->current)];
  try {
    (*block->kernel)();
  } catch (...) {
    block->failure = std::current_exception();
  }
  fiber.wait = Wait::kEnd;
  switch_to_scheduler(fiber);
}

Fiber &current_fiber() { return block->fibers[static_cast<std::size_t>(block->current)]; }

void wait_at(Wait wait) {
  Fiber &fiber = current_fiber();
  fiber.wait = wait;
  switch_to_scheduler(fiber);
}

// ---- Instructions of a warp: layouts of the PTX ISA, section 9.7.14.5 ----

std::uint16_t half_at(std::uint32_t pair, int index) {
  return static_cast<std::uint16_t>(index == 0 ? pair : pair >> 16);
}

void check_row(const unsigned char *row) {
  const auto address = reinterpret_cast<std::uintptr_t>(row);
  const auto begin = reinterpret_cast<std::uintptr_t>(block->shared.data());
  if (address < begin || address + 16 > begin + block->shared.size()) {
    fail("a row of load_matrices is not in shared memory");
  }
  if (address % 16 != 0) fail("a row of load_matrices is not aligned to 16 bytes");
}

void load_matrices_of(Fiber *warp) {
  for (int lane = 0; lane < kWarp; ++lane) check_row(warp[lane].row);
  for (int lane = 0; lane < kWarp; ++lane) {
    for (int matrix = 0; matrix < 4; ++matrix) {
      std::memcpy(&warp[lane].matrices[matrix], warp[matrix * 8 + lane / 4].row + lane % 4 * 4,
                  sizeof(std::uint32_t));
    }
  }
}

void multiply_add_of(Fiber *warp) {
  float a[16][16];
  float b[16][8];
  for (int lane = 0; lane < kWarp; ++lane) {
    const int group = lane / 4;
    const int in_group = lane % 4;
    for (int i = 0; i < 8; ++i) {  // a0 .. a7
      const int row = i < 2 || (i >= 4 && i < 6) ? group : group + 8;
      const int column = in_group * 2 + i % 2 + (i < 4 ? 0 : 8);
      a[row][column] = float_from_half(half_at(warp[lane].a[i / 2], i % 2));
    }
    for (int i = 0; i < 4; ++i) {  // b0 .. b3
      const int row = in_group * 2 + i % 2 + (i < 2 ? 0 : 8);
      b[row][group] = float_from_half(half_at(i < 2 ? warp[lane].b.x : warp[lane].b.y, i % 2));
    }
  }
  for (int lane = 0; lane < kWarp; ++lane) {
    for (int i = 0; i < 4; ++i) {  // c0 .. c3
      const int row = i < 2 ? lane / 4 : lane / 4 + 8;
      const int column = lane % 4 * 2 + i % 2;
      float sum = warp[lane].sums[i];
      for (int k = 0; k < 16; ++k) sum += a[row][k] * b[k][column];
      warp[lane].sums[i] = sum;
    }
  }
}

// Lets a warp go on whose threads all wait at the same instruction.
bool release_warp(Fiber *warp) {
  const Wait wait = warp[0].wait;
  if (wait != Wait::kLoadMatrices && wait != Wait::kMultiplyAdd) return false;
  for (int lane = 1; lane < kWarp; ++lane) {
    if (warp[lane].wait != wait) return false;
  }
  if (wait == Wait::kLoadMatrices) {
    load_matrices_of(warp);
  } else {
    multiply_add_of(warp);
  }
  for (int lane = 0; lane < kWarp; ++lane) warp[lane].wait = Wait::kNothing;
  return true;
}

bool all_wait_at(Wait wait) {
  return std::all_of(block->fibers.begin(), block->fibers.end(),
                     [&](const Fiber &fiber) { return fiber.wait == wait; });
}

void start_fibers() {
  for (std::size_t i = 0; i < block->fibers.size(); ++i) {
    Fiber &fiber = block->fibers[i];
    if (!fiber.stack) fiber.stack.reset(new char[kStackBytes]);
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.get();
    fiber.context.uc_stack.ss_size = kStackBytes;
    fiber.context.uc_link = &block->scheduler;
    makecontext(&fiber.context, run_fiber, 0);
    fiber.wait = Wait::kNothing;
  }
}

std::vector<int> ordered_warps(const Launch &launch) {
  std::vector<int> warps(static_cast<std::size_t>(launch.threads / kWarp));
  std::iota(warps.begin(), warps.end(), 0);
  if (launch.order == Order::kBackward) std::reverse(warps.begin(), warps.end());
  if (launch.order == Order::kShuffled) {
    static std::mt19937 random(1);
    std::shuffle(warps.begin(), warps.end(), random);
  }
  return warps;
}

// Every thread of a warp as far as it comes alone.
void run_warp(int warp) {
  for (int i = 0; i < kWarp; ++i) {
    const int lane = block->launch->order == Order::kBackward ? kWarp - 1 - i : i;
    block->current = warp * kWarp + lane;
    Fiber &fiber = current_fiber();
    if (fiber.wait == Wait::kNothing) switch_to_fiber(fiber);
    if (block->failure) std::rethrow_exception(block->failure);
  }
}

// A warp runs until it waits for the block, so that a missing barrier shows.
void run_to_barrier() {
  for (const int warp : ordered_warps(*block->launch)) {
    do {
      run_warp(warp);
    } while (release_warp(&block->fibers[static_cast<std::size_t>(warp * kWarp)]));
  }
}

void run_block() {
  std::fill(block->shared.begin(), block->shared.end(), static_cast<unsigned char>(0xFF));
  start_fibers();
  for (;;) {
    run_to_barrier();
    if (all_wait_at(Wait::kEnd)) return;
    if (!all_wait_at(Wait::kBarrier)) fail("threads of a block wait at different places");
    for (Fiber &fiber : block->fibers) fiber.wait = Wait::kNothing;
  }
}

}  // namespace

float float_from_half(std::uint16_t half) {
  const int exponent = half >> 10 & 31;
  const int fraction = half & 1023;
  float value = 0.0F;
  if (exponent == 31) {
    value = fraction == 0 ? INFINITY : NAN;
  } else if (exponent == 0) {
    value = std::ldexp(static_cast<float>(fraction), -24);
  } else {
    value = std::ldexp(static_cast<float>(fraction + 1024), exponent - 25);
  }
  return (half & 0x8000) != 0 ? -value : value;
}

// Written unlike the library's own, so that one can check the other.
std::uint16_t half_from(float value) {
  const auto sign = static_cast<std::uint16_t>(std::signbit(value) ? 0x8000 : 0);
  const float magnitude = std::fabs(value);
  if (std::isnan(value)) return static_cast<std::uint16_t>(sign | 0x7FFF);
  if (magnitude == 0.0F) return sign;
  if (magnitude >= 65520.0F) return static_cast<std::uint16_t>(sign | 0x7C00);
  int exponent = 0;
  std::frexp(magnitude, &exponent);
  const int unit = std::max(exponent - 11, -24);  // the last place is worth 2^unit
  const auto steps = static_cast<int>(std::nearbyint(std::ldexp(magnitude, -unit)));
  return static_cast<std::uint16_t>(sign | (steps + (unit + 24) * 1024));
}

void launch(const Launch &launch, const std::function<void()> &kernel) {
  if (launch.threads % kWarp != 0) fail("a block has no whole number of warps");
  Block state;
  state.launch = &launch;
  state.kernel = &kernel;
  state.fibers.resize(static_cast<std::size_t>(launch.threads));
  state.shared.resize(launch.shared_bytes);
  state.shared.shrink_to_fit();
  block = &state;
  for (state.index = 0; state.index < launch.blocks; ++state.index) run_block();
  block = nullptr;
}

}  // namespace cuda_emulation

namespace esr::cuda {

using cuda_emulation::Fiber;
using cuda_emulation::Wait;

int thread_index() { return cuda_emulation::block->current; }
int block_index() { return cuda_emulation::block->index; }
int block_count() { return cuda_emulation::block->launch->blocks; }
void block_barrier() { cuda_emulation::wait_at(Wait::kBarrier); }
unsigned char *shared_memory() { return cuda_emulation::block->shared.data(); }

std::uint32_t half_pair(float low, float high) {
  return cuda_emulation::half_from(low) |
         static_cast<std::uint32_t>(cuda_emulation::half_from(high)) << 16;
}

void load_matrices(std::uint32_t (&matrices)[4], const unsigned char *row) {
  Fiber &fiber = cuda_emulation::current_fiber();
  fiber.matrices = matrices;
  fiber.row = row;
  cuda_emulation::wait_at(Wait::kLoadMatrices);
}

void multiply_add(float (&sums)[4], const std::uint32_t (&a)[4], uint2 b) {
  Fiber &fiber = cuda_emulation::current_fiber();
  fiber.sums = sums;
  fiber.a = a;
  fiber.b = b;
  cuda_emulation::wait_at(Wait::kMultiplyAdd);
}

}  // namespace esr::cuda
