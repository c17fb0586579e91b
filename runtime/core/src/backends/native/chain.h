// A network packed for one CPU: stages of fused layers, the tail, the bicubic base.
#pragma once

#include <array>
#include <vector>

#include "backends/native/network.h"
#include "backends/native/packed_conv.h"
#include "backends/native/packed_tail.h"
#include "backends/native/picture_taps.h"

namespace esr::native {

// A convolution and the 1x1 convolutions behind it. Only what leaves the last of them is kept as
// rows; what lies between exists for a strip of pixels at a time.
struct Stage {
  std::vector<PackedConv> layers;
  int radius = 0;       // of the first layer; the others have none
  int need = 0;         // columns and rows beyond a tile's core that later layers read
  int rows_kept = 1;    // of the output, for the next stage's kernel
  int out_groups = 0;   // lanes per pixel of the output
  int next_radius = 0;  // how far the reader of the output reaches sideways
  Lane border = 0;      // a lane of zeros in the output's form
};

struct Chain {
  int scale = 2;
  int enlargement = 1;  // of the picture that the layers read: `scale` if it is the base, else 1
  int radius = 0;       // receptive field, in pixels of that picture
  bool has_base = false;
  LaneType type = LaneType::kFp32;      // asked precision
  const RowKernels *floats = nullptr;   // family of float32 lanes
  const RowKernels *bytes = nullptr;    // family of INT8 lanes; null without INT8
  const RowKernels *picture = nullptr;  // family of the first layer
  PictureTaps picture_taps;
  std::vector<Stage> stages;
  PackedTail tail;
  std::array<float, kernels::kMaxScale * 5> base_weights{};  // [phase][tap]

  int tail_radius() const { return tail.kernel / 2; }
  bool needs_base() const { return has_base || enlargement > 1; }
};

// Throws Error(kUnsupported) if the network is no chain that this engine runs.
Chain build_chain(const Network &network, LaneType type);

}  // namespace esr::native
