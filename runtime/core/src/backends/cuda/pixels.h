// The end of the chain: the tail, the bicubic base, the pixels.
#pragma once

#include "backends/cuda/products.h"

namespace esr::cuda {

// Sums of all phases of the core's pixels, in the picture's order.
template <int N>
ESR_DEVICE void run_tail(const PassLayout &pass, const Thread &thread) {
  const TailLayout &tail = pass.tail;
  const int blocks = tail.region.width * tail.region.height;  // of kTailRows pixels
  const auto *taps = reinterpret_cast<const std::int32_t *>(thread.shared + tail.taps);
  const auto *targets = reinterpret_cast<const std::int32_t *>(thread.shared + tail.targets);
  const int pitch = tail.scale * pass.core_width;
  constexpr int kBlocks = kMatrices * kMatrixRows;
  for (int begin = thread.warp * kBlocks; begin < blocks; begin += thread.warps * kBlocks) {
    MapRows rows[kMatrices];
    ESR_UNROLL
    for (int m = 0; m < kMatrices; ++m) {
      rows[m] = MapRows::of(thread.shared + tail.input, tail.input_pitch, begin + m * kMatrixRows,
                            blocks - 1, tail.region, kTailRows, thread.lane);
    }
    Sums<N> sums;
    start_sums<N>(sums, thread.shared + tail.biases, thread.lane);
    multiply<N>(sums, rows, taps, tail.steps, thread.shared + tail.weights, thread.lane);
    ESR_UNROLL
    for (int half = 0; half < 2 * kMatrices; ++half) {
      const int index = begin + thread.lane / 4 + 8 * half;
      if (index >= blocks) continue;
      const Position at = position_of(index, tail.region);
      float *pixel = reinterpret_cast<float *>(thread.shared + tail.sums) +
                     (at.y * kTailRows * pitch + at.x) * tail.scale;
      ESR_UNROLL
      for (int i = 0; i < 2 * N; ++i) {
        const std::int32_t target = targets[i / 2 * 8 + thread.lane % 4 * 2 + i % 2];
        if (target >= 0) pixel[target] = sums[half / 2][i / 2][half % 2 * 2 + i % 2];
      }
    }
  }
}

ESR_DEVICE int clamped(int value, int last) { return value < 0 ? 0 : value > last ? last : value; }

// Grey levels around the core, the frame's borders repeated.
ESR_DEVICE void load_base_window(const PassLayout &pass, const FrameArguments &frame,
                                 const Tile &tile, const Thread &thread) {
  auto *window = reinterpret_cast<float *>(thread.shared + pass.tail.window);
  const int width = pass.core_width + 4;
  for (int row = thread.warp; row < pass.core_height + 4; row += thread.warps) {
    const int y = clamped(tile.y0 - 2 + row, frame.height - 1);
    for (int column = thread.lane; column < width; column += 32) {
      const int x = clamped(tile.x0 - 2 + column, frame.width - 1);
      window[row * width + column] = grey_at(x, y, frame);
    }
  }
}

// Five taps, `step` floats apart, in the order in which the CPU engine adds them.
ESR_DEVICE float five_taps(const float *value, int step, const float *weight) {
  const float first = fmaf(weight[1], value[step], weight[0] * value[0]);
  const float third = fmaf(weight[3], value[3 * step], fmaf(weight[2], value[2 * step], first));
  return fmaf(weight[4], value[4 * step], third);
}

// The base's first half: along the columns.
ESR_DEVICE void enlarge_columns(const PassLayout &pass, const Thread &thread) {
  const TailLayout &tail = pass.tail;
  const auto *weights = reinterpret_cast<const float *>(thread.shared + tail.base_weights);
  const auto *window = reinterpret_cast<const float *>(thread.shared + tail.window);
  auto *columns = reinterpret_cast<float *>(thread.shared + tail.columns);
  const int width = pass.core_width + 4;
  for (int row = thread.warp; row < tail.scale * pass.core_height; row += thread.warps) {
    const int y = row / tail.scale;
    const float *weight = weights + (row - y * tail.scale) * 5;
    for (int x = thread.lane; x < width; x += 32) {
      columns[row * width + x] = five_taps(window + y * width + x, width, weight);
    }
  }
}

// NaN becomes 0, as on a CPU.
ESR_DEVICE std::uint32_t rounded_sample(float grey, const FrameArguments &frame) {
  const float value = grey * frame.from_grey;
  const float above = value > 0.0F ? value : 0.0F;
  const float level = above < frame.peak ? above : frame.peak;
  return static_cast<std::uint32_t>(rintf(level));
}

constexpr int kStored = 4;  // neighbouring pixels that a thread writes

template <class Sample>
ESR_DEVICE void store_samples(const float (&grey)[kStored], int count, unsigned char *row, int x,
                              const FrameArguments &frame) {
  auto *samples = reinterpret_cast<Sample *>(row) + x;
  if constexpr (sizeof(Sample) == 1) {
    if (count == kStored && reinterpret_cast<std::uintptr_t>(samples) % 4 == 0) {
      std::uint32_t word = 0;
      ESR_UNROLL
      for (int i = 0; i < kStored; ++i) word |= rounded_sample(grey[i], frame) << (8 * i);
      *reinterpret_cast<std::uint32_t *>(samples) = word;
      return;
    }
  }
  ESR_UNROLL
  for (int i = 0; i < kStored; ++i) {
    if (i >= count) break;
    if constexpr (sizeof(Sample) == 4) {
      samples[i] = grey[i];
    } else {
      samples[i] = static_cast<Sample>(rounded_sample(grey[i], frame));
    }
  }
}

// The base's second half, along the rows; sums of the network to grey levels; pixels.
ESR_DEVICE void store_pixels(const PassLayout &pass, const FrameArguments &frame, const Tile &tile,
                             const Thread &thread) {
  const TailLayout &tail = pass.tail;
  const auto *weights = reinterpret_cast<const float *>(thread.shared + tail.base_weights);
  const auto *sums = reinterpret_cast<const float *>(thread.shared + tail.sums);
  const auto *columns = reinterpret_cast<const float *>(thread.shared + tail.columns);
  const int width = tail.scale * pass.core_width;
  const int right = frame.width * tail.scale;
  for (int row = thread.warp; row < tail.scale * pass.core_height; row += thread.warps) {
    const int y = tile.y0 * tail.scale + row;
    if (y >= frame.height * tail.scale) break;
    for (int begin = thread.lane * kStored; begin < width; begin += 32 * kStored) {
      const int x = tile.x0 * tail.scale + begin;
      if (x >= right) break;
      float grey[kStored];
      ESR_UNROLL
      for (int i = 0; i < kStored; ++i) {
        const int column = begin + i;
        grey[i] = sums[row * width + column] * tail.unit;
        if (!tail.has_base) continue;
        const int lr_x = column / tail.scale;
        grey[i] += five_taps(columns + row * (pass.core_width + 4) + lr_x, 1,
                             weights + (column - lr_x * tail.scale) * 5);
      }
      unsigned char *line = frame.sr + y * frame.sr_stride;
      const int count = right - x < kStored ? right - x : kStored;
      if (frame.sample_bytes == 1) {
        store_samples<std::uint8_t>(grey, count, line, x, frame);
      } else if (frame.sample_bytes == 2) {
        store_samples<std::uint16_t>(grey, count, line, x, frame);
      } else {
        store_samples<float>(grey, count, line, x, frame);
      }
    }
  }
}

template <int Choice>
ESR_DEVICE void run_tail_of_groups(const PassLayout &pass, const Thread &thread) {
  constexpr int kGroups = kTailGroups[Choice];
  if (pass.tail.groups == kGroups) {
    run_tail<kGroups>(pass, thread);
    return;
  }
  if constexpr (Choice + 1 < kTailGroupsCount) run_tail_of_groups<Choice + 1>(pass, thread);
}

ESR_DEVICE void finish_pixels(const PassLayout &pass, const FrameArguments &frame, const Tile &tile,
                              const Thread &thread) {
  if (pass.tail.has_base) load_base_window(pass, frame, tile, thread);
  run_tail_of_groups<0>(pass, thread);
  block_barrier();
  if (pass.tail.has_base) {
    enlarge_columns(pass, thread);
    block_barrier();
  }
  store_pixels(pass, frame, tile, thread);
}

}  // namespace esr::cuda
