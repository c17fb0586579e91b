// The sub-pixel convolution at the end, as each row of features scatters into rows of phase sums.
#pragma once

#include <cstdint>
#include <vector>

#include "backends/native/packed_conv.h"

namespace esr::native {

// SR rows that a row of features adds to in one pass, so that its lanes are loaded once for all of
// them. Structural zeros of a transposed convolution are left out.
struct TailPart {
  // Kernel row ky of phase ry: feature row y adds to row ry of LR row y - (ky - kernel/2).
  struct Row {
    int ky = 0;
    int ry = 0;
  };
  struct Tap {
    int group = 0;
    int dx = 0;
  };
  std::vector<Row> rows;
  std::vector<kernels::TailSegment> segments;
  std::vector<Tap> taps;
  AlignedBuffer<Lane> weights;
};

struct PackedTail {
  const RowKernels *kernels = nullptr;
  int kernel = 1;
  int scale = 2;
  std::vector<TailPart> parts;
  std::vector<Lane> init;                // [phase]: float32 bias, or int32 zero
  std::vector<std::int32_t> correction;  // INT8: [ky][phase], what zero_point adds, negated
  std::vector<float> factors;            // INT8: [phase], grey levels per unit of a sum
  std::vector<float> biases;             // INT8: [phase], grey levels
};

// Throws Error(kUnsupported) if the layer is no tail of this scale.
PackedTail pack_tail(const Layer &layer, LaneType type, const RowKernels &kernels, int scale);

}  // namespace esr::native
