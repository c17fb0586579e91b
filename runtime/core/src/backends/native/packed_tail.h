// The sub-pixel convolution at the end, as each row of features scatters into rows of phase sums.
#pragma once

#include <cstdint>
#include <vector>

#include "backends/native/packed_conv.h"

namespace esr::native {

// Row ky of the kernel for phases ry0 .. ry0+num_ry-1: feature row y adds to the sums of LR row
// y - (ky - kernel/2). Structural zeros of a transposed convolution are left out.
struct TailPart {
  struct Tap {
    int group = 0;
    int dx = 0;
  };
  int ky = 0;
  int ry0 = 0;
  int num_ry = 0;
  std::vector<kernels::TailSegment> segments;
  std::vector<Tap> taps;
  AlignedBuffer<Lane> weights;
};

struct PackedTail {
  const RowKernels *kernels = nullptr;
  int kernel = 1;
  int scale = 2;
  std::vector<TailPart> parts;           // by ky
  std::vector<Lane> init;                // [phase]: float32 bias, or int32 zero
  std::vector<std::int32_t> correction;  // INT8: [ky][phase], what zero_point adds, negated
  std::vector<float> factors;            // INT8: [phase], grey levels per unit of a sum
  std::vector<float> biases;             // INT8: [phase], grey levels
};

// Throws Error(kUnsupported) if the layer is no tail of this scale.
PackedTail pack_tail(const Layer &layer, LaneType type, const RowKernels &kernels, int scale);

}  // namespace esr::native
