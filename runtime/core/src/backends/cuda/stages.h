// A chain as the kernels see it: convolutions, each with the 1x1 convolution behind it.
#pragma once

#include <cstddef>
#include <vector>

#include "backends/native/network.h"

namespace esr::cuda {

// A layer's results are kept in a unit: the power of two next to their usual size, which is guessed
// from the weights as if its inputs had nothing to do with one another.
struct ScaledLayer {
  const native::Layer *layer = nullptr;
  float input_unit = 1.0F;
  float unit = 1.0F;
};

// Only what leaves the last layer is kept as a map; what lies between stays in registers.
struct Stage {
  ScaledLayer first;
  ScaledLayer second;  // 1x1; its layer may be null
  int shape = 0;       // index into kStageShapes

  int radius() const { return first.layer->kernel / 2; }
  const native::Layer &last() const {
    return second.layer != nullptr ? *second.layer : *first.layer;
  }
};

struct Chain {
  const native::Network *network = nullptr;
  std::vector<Stage> stages;
  ScaledLayer tail;
  int tail_groups = 0;  // one of kTailGroups
};

// Groups of 8 channels.
int groups_of(int channels);

// Refers to the network. Throws Error(kUnsupported), saying why, for one that has no kernels.
Chain chain_of(const native::Network &network);

}  // namespace esr::cuda
