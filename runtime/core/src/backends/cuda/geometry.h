// Where everything of a pass lies, for tiles of one size.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "backends/cuda/pass.h"
#include "backends/cuda/plugin.h"
#include "backends/cuda/stages.h"

namespace esr::cuda {

inline int divided_up(int value, int by) { return (value + by - 1) / by; }

// A tile's core, in LR pixels.
struct CoreSize {
  int width = 0;
  int height = 0;
};

// Stages begin .. end-1 and, if these are the last, the tail.
struct Range {
  int begin = 0;
  int end = 0;
};

struct Geometry {
  Range range;
  CoreSize core;
  int warps = 0;  // of a block
  bool to_pixels = false;
  int input_margin = 0;
  Region input{};
  int input_groups = 0;  // 0: the picture
  std::vector<int> margins;
  std::vector<Region> regions;  // of the stages' outputs
  std::int32_t constants_bytes = 0;
  std::int32_t part_bytes[2] = {0, 0};  // a stage reads one part and writes the other

  std::int32_t part(std::size_t number) const {
    return constants_bytes + (number % 2 == 0 ? 0 : part_bytes[0]);
  }
  std::int32_t shared_bytes() const { return constants_bytes + part_bytes[0] + part_bytes[1]; }
};

// What the end of the chain keeps beside the tail's input.
struct TailScratch {
  std::int32_t sums = 0;
  std::int32_t window = 0;
  std::int32_t columns = 0;
  std::int32_t bytes = 0;
};

Region region_of(int width, int height);
int pixels_of(const Region &region);

TailScratch tail_scratch(const native::Network &network, CoreSize core);

// Steps of 16 inputs of a stage's convolution, and of the tail.
int steps_of(const Stage &stage);
int tail_steps(const Chain &chain);

Geometry geometry_of(const Chain &chain, Range range, CoreSize core, int warps);

// Whether the device has the memory, and the kernel's arithmetic the range.
bool fits(const Geometry &geometry, const DeviceFacts &device);

int blocks_per_multiprocessor(const Geometry &geometry, const DeviceFacts &device);

int tiles_of(CoreSize core, int width, int height);

}  // namespace esr::cuda
