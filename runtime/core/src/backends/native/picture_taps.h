// How the first layer reads a picture of one channel with lanes that hold several values.
#pragma once

#include <array>
#include <vector>

#include "backends/native/packed_conv.h"

namespace esr::native {

// A row of lanes made of samples around the pixel: slot c holds sample (x + dx, y + dy).
struct PictureLanes {
  struct Source {
    bool is_used = false;
    int dy = 0;
    int dx = 0;
  };
  std::array<Source, kMaxChannelsPerLane> sources;
};

// Tap t reads lane row `row` at x + shift and meets the weights of `slots`.
struct PictureTap {
  int row = 0;
  int shift = 0;
  TapSlots slots;
};

struct PictureTaps {
  std::vector<PictureLanes> rows;
  std::vector<PictureTap> taps;
};

// Kernel rows are packed `channels_per_lane` at a time into lanes; each row left over packs
// neighbouring columns instead. A 5x5 kernel with 4 values in a lane needs 5 + 2 taps, not 25.
PictureTaps plan_picture_taps(int kernel, int channels_per_lane);

}  // namespace esr::native
