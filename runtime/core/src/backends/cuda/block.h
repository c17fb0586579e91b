// What a thread knows of its block, its tile and the frame.
#pragma once

#include "backends/cuda/pass.h"
#include "backends/cuda/warp.h"

namespace esr::cuda {

struct Tile {
  int x0;  // of the core, in the frame
  int y0;
};

// One thread's view of its block.
struct Thread {
  unsigned char *shared;
  int index;
  int warp;
  int lane;
  int warps;  // of the block
};

struct Position {
  int x;
  int y;
};

// `index` is below 4096 and the width at most 256, for which the reciprocal is exact.
ESR_DEVICE Position position_of(int index, const Region &region) {
  const int y = static_cast<int>(
      (static_cast<unsigned>(index) * static_cast<unsigned>(region.reciprocal)) >> 20);
  return {index - y * region.width, y};
}

ESR_DEVICE bool is_inside(int x, int y, const FrameArguments &frame) {
  return x >= 0 && y >= 0 && x < frame.width && y < frame.height;
}

ESR_DEVICE float grey_at(int x, int y, const FrameArguments &frame) {
  const unsigned char *row = frame.lr + y * frame.lr_stride;
  if (frame.sample_bytes == 1) return static_cast<float>(row[x]);
  if (frame.sample_bytes == 4) return reinterpret_cast<const float *>(row)[x];
  return static_cast<float>(reinterpret_cast<const std::uint16_t *>(row)[x]) * frame.to_grey;
}

}  // namespace esr::cuda
