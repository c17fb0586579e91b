// The block of memory that a pass's constants fill.
#pragma once

#include <cstdint>
#include <vector>

#include "backends/cuda/pass.h"
#include "backends/cuda/stages.h"

namespace esr::cuda {

// One input of a matrix product: a tap of the kernel and a channel. None where `ky` is -1. With
// `is_rest` its weight is what rounding to a half float takes from the weight.
struct ProductInput {
  int ky = -1;
  int kx = 0;
  int channel = 0;
  bool is_rest = false;
};

// One output: a channel, computed `row` pixels below the product's pixel. None if negative.
struct ProductOutput {
  int channel = -1;
  int row = 0;
};

// Grows as it is filled; every part begins at a multiple of 16 bytes.
class Constants {
 public:
  std::int32_t add(const std::vector<std::int32_t> &values);
  std::int32_t add(const std::vector<float> &values);

  // Fragments of 16 inputs for 8 outputs, as warp.h describes them. An output `row` pixels lower
  // sees tap ky of the product at ky - row of its own kernel.
  std::int32_t add_weights(const ScaledLayer &layer, const std::vector<ProductInput> &inputs,
                           const std::vector<ProductOutput> &outputs);

  // Weights of all channels, what they add, and how they are activated.
  Dense add_layer(const ScaledLayer &layer, const std::vector<ProductInput> &inputs, int groups);

  const std::vector<std::uint8_t> &bytes() const { return bytes_; }

 private:
  std::int32_t add_bytes(const void *data, std::size_t size);

  std::vector<std::uint8_t> bytes_;
};

}  // namespace esr::cuda
