// The reference: convolution and tail as their definitions say, lane by lane. `T` says what a lane
// holds: add(sum, lane, weight) and pack(sums, row, channel).
#pragma once

#include "kernels/body/family.h"

namespace esr::kernels {
namespace {

constexpr int kChunk = 32;  // pixels whose sums are kept at a time

template <class T>
void scalar_pixels(const ConvRow &row, const Lane *weights, int size, int channel,
                   std::int32_t first, std::int32_t count) {
  for (int o = 0; o < size; o += T::kChannels) {
    typename T::Sum sums[T::kChannels][kChunk];
    for (int c = 0; c < T::kChannels; ++c) {
      const auto init = T::sum_from(row.init[channel + o + c]);
      for (std::int32_t x = 0; x < count; ++x) sums[c][x] = init;
      for (int t = 0; t < row.num_taps; ++t) {
        const Lane *tap = row.taps[t] + row.tap_offset + first;
        const Lane weight = weights[t * size + o + c];
        for (std::int32_t x = 0; x < count; ++x) sums[c][x] = T::add(sums[c][x], tap[x], weight);
      }
    }
    T::write(row, channel + o, first, count, sums);
  }
}

template <class T>
void scalar_conv_row(const ConvRow &row) {
  const Lane *weights = row.weights;
  int channel = 0;
  for (int b = 0; b < row.num_blocks; ++b) {
    const int size = row.blocks[b];
    for (std::int32_t first = 0; first < row.count; first += kChunk) {
      const std::int32_t left = row.count - first;
      scalar_pixels<T>(row, weights, size, channel, first, left < kChunk ? left : kChunk);
    }
    weights += static_cast<std::ptrdiff_t>(size) * row.num_taps;
    channel += size;
  }
}

template <class T>
void scalar_tail_row(const TailRow &row) {
  const Lane *weights = row.weights;
  const Lane *const *taps = row.taps;
  for (int s = 0; s < row.num_segments; ++s) {
    const TailSegment &segment = row.segments[s];
    for (int t = 0; t < segment.num_taps; ++t) {
      const Lane *tap = *taps++ + row.offset;
      for (int ry = 0; ry < row.num_rows; ++ry) {
        for (int rx = segment.rx_begin; rx < segment.rx_end; ++rx) {
          const Lane weight = *weights++;
          Lane *sums = row.sums[ry * row.scale + rx] + row.offset;
          for (std::int32_t x = 0; x < row.count; ++x) {
            sums[x] = T::lane_from(T::add(T::sum_from(sums[x]), tap[x], weight));
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace esr::kernels
