// What the inputs of a matrix product are, and where they lie around its pixel.
#pragma once

#include <cstdint>
#include <vector>

#include "backends/cuda/constants.h"
#include "backends/cuda/pass.h"

namespace esr::cuda {

struct Taps {
  std::vector<std::int32_t> offsets;  // in bytes: for every two inputs of a picture, 8 of a map
  std::vector<ProductInput> inputs;   // 16 for each step

  int steps() const { return static_cast<int>(inputs.size() / 16); }
};

// Two taps along a row are one word of the picture, `pitch` words wide. Every tap comes twice, for
// its weight and for the rest of it: many of these kernels take differences of grey levels, where a
// rounded weight shows.
Taps picture_taps(int kernel, int pitch);

// A tap of each group of channels. The product covers `rows` rows: those of the kernel, and of
// output rows below the first.
Taps map_taps(int rows, int kernel, int groups, const Region &region);

// Channels of the convolution before, which lie in registers.
std::vector<ProductInput> register_inputs(int groups);

// Steps of 16 inputs that these will have.
int picture_steps(int kernel);
int map_steps(int rows, int kernel, int groups);

}  // namespace esr::cuda
