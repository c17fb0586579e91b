#include "backends/cuda/taps.h"

namespace esr::cuda {

// What fills the last step has weights of zero. It reads the first tap again, not memory that may
// hold anything: zero times NaN is NaN.
Taps picture_taps(int kernel, int pitch) {
  Taps taps;
  for (const bool is_rest : {false, true}) {
    for (int ky = 0; ky < kernel; ++ky) {
      for (int kx = 0; kx < kernel; kx += 2) {
        taps.offsets.push_back((ky * pitch + kx) * 4);
        taps.inputs.push_back({ky, kx, 0, is_rest});
        taps.inputs.push_back({ky, kx + 1, 0, is_rest});
      }
    }
  }
  const auto steps = static_cast<std::size_t>(picture_steps(kernel));
  taps.offsets.resize(steps * 8, 0);
  taps.inputs.resize(steps * 16);
  return taps;
}

Taps map_taps(int rows, int kernel, int groups, const Region &region) {
  const int plane = region.width * region.height * kGroupBytes;
  Taps taps;
  for (int ky = 0; ky < rows; ++ky) {
    for (int kx = 0; kx < kernel; ++kx) {
      for (int group = 0; group < groups; ++group) {
        taps.offsets.push_back(group * plane + (ky * region.width + kx) * kGroupBytes);
        for (int c = 0; c < kGroupChannels; ++c) {
          taps.inputs.push_back({ky, kx, group * kGroupChannels + c, false});
        }
      }
    }
  }
  const auto steps = static_cast<std::size_t>(map_steps(rows, kernel, groups));
  taps.offsets.resize(steps * 2, 0);
  taps.inputs.resize(steps * 16);
  return taps;
}

std::vector<ProductInput> register_inputs(int groups) {
  std::vector<ProductInput> inputs;
  for (int c = 0; c < (groups + 1) / 2 * 16; ++c) inputs.push_back({0, 0, c, false});
  return inputs;
}

int picture_steps(int kernel) { return (2 * kernel * ((kernel + 1) / 2) + 7) / 8; }

int map_steps(int rows, int kernel, int groups) { return (rows * kernel * groups + 1) / 2; }

}  // namespace esr::cuda
