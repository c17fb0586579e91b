// The kernel: one pass over a frame. Matrix products have pixels as rows and channels as columns.
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

// ---- What a tile reads ----

// Every word of the window holds a pixel and its right neighbour, so that two taps are one load.
ESR_DEVICE void load_picture(const PassLayout &pass, const FrameArguments &frame, const Tile &tile,
                             const Thread &thread) {
  auto *words = reinterpret_cast<std::uint32_t *>(thread.shared + pass.input);
  const int x0 = tile.x0 - pass.input_margin;
  const int y0 = tile.y0 - pass.input_margin;
  constexpr float kUnit = 1.0F / kPictureUnit;
  for (int row = thread.warp; row < pass.input_height; row += thread.warps) {
    for (int column = thread.lane; column < pass.input_width; column += 32) {
      const int x = x0 + column;
      const int y = y0 + row;
      const float left = is_inside(x, y, frame) ? grey_at(x, y, frame) : 0.0F;
      const float right = is_inside(x + 1, y, frame) ? grey_at(x + 1, y, frame) : 0.0F;
      words[row * pass.input_width + column] = half_pair(left * kUnit, right * kUnit);
    }
  }
}

ESR_DEVICE void load_map(const PassLayout &pass, const FrameArguments &frame, const Tile &tile,
                         const Thread &thread) {
  const int x0 = tile.x0 - pass.input_margin;
  const int y0 = tile.y0 - pass.input_margin;
  const std::int64_t frame_pixels = std::int64_t{frame.width} * frame.height;
  auto *window = reinterpret_cast<uint4 *>(thread.shared + pass.input);
  const auto *map = reinterpret_cast<const uint4 *>(frame.input_map);
  const int rows = pass.input_groups * pass.input_height;
  for (int row = thread.warp; row < rows; row += thread.warps) {
    const int group = row / pass.input_height;
    const int y = y0 + row - group * pass.input_height;
    const uint4 *from = map + group * frame_pixels + std::int64_t{y} * frame.width;
    for (int column = thread.lane; column < pass.input_width; column += 32) {
      const int x = x0 + column;
      const uint4 zero = {0U, 0U, 0U, 0U};
      window[row * pass.input_width + column] = is_inside(x, y, frame) ? from[x] : zero;
    }
  }
}

// ---- Matrix products ----

// Sixteen pixels of a map as rows of a product; a lane points at the pixel whose address it gives.
struct MapRows {
  const unsigned char *pixel;

  ESR_DEVICE static MapRows of(const unsigned char *input, int pitch, int first, int last,
                               const Region &region, int row_step, int lane) {
    const int index = first + lane % kMatrixRows;
    const Position at = position_of(index < last ? index : last, region);
    return {input + (at.y * row_step * pitch + at.x) * kGroupBytes};
  }

  // The table has the offset of each half step: a tap and a group of 8 channels.
  ESR_DEVICE void load(std::uint32_t (&inputs)[4], const std::int32_t *taps, int step,
                       int lane) const {
    load_matrices(inputs, pixel + taps[2 * step + lane / kMatrixRows]);
  }
};

// Sixteen pixels of the picture's words; a lane points at the two whose elements it holds.
struct PictureRows {
  const unsigned char *low;
  const unsigned char *high;

  ESR_DEVICE static PictureRows of(const unsigned char *input, int pitch, int first, int last,
                                   const Region &region, int row_step, int lane) {
    const int index = first + lane / 4;
    const Position a = position_of(index < last ? index : last, region);
    const Position b = position_of(index + 8 < last ? index + 8 : last, region);
    return {input + (a.y * row_step * pitch + a.x) * 4, input + (b.y * row_step * pitch + b.x) * 4};
  }

  // The table has the offset of each pair of taps.
  ESR_DEVICE void load(std::uint32_t (&inputs)[4], const std::int32_t *taps, int step,
                       int lane) const {
    const std::int32_t near = taps[8 * step + lane % 4];
    const std::int32_t far = taps[8 * step + 4 + lane % 4];
    inputs[0] = *reinterpret_cast<const std::uint32_t *>(low + near);
    inputs[1] = *reinterpret_cast<const std::uint32_t *>(high + near);
    inputs[2] = *reinterpret_cast<const std::uint32_t *>(low + far);
    inputs[3] = *reinterpret_cast<const std::uint32_t *>(high + far);
  }
};

template <int N>
using Sums = float[kMatrices][N][4];

// A lane's values of a table of floats: two neighbouring outputs of each group.
ESR_DEVICE float2 output_pair(const unsigned char *table, int group, int lane) {
  return reinterpret_cast<const float2 *>(table)[group * 4 + lane % 4];
}

template <int N>
ESR_DEVICE void start_sums(Sums<N> &sums, const unsigned char *biases, int lane) {
  ESR_UNROLL
  for (int n = 0; n < N; ++n) {
    const float2 bias = output_pair(biases, n, lane);
    ESR_UNROLL
    for (int m = 0; m < kMatrices; ++m) {
      sums[m][n][0] = sums[m][n][2] = bias.x;
      sums[m][n][1] = sums[m][n][3] = bias.y;
    }
  }
}

ESR_DEVICE uint2 fragment(const unsigned char *weights, int index, int lane) {
  return reinterpret_cast<const uint2 *>(weights + index * kFragmentBytes)[lane];
}

template <int N, class Rows>
ESR_DEVICE void multiply(Sums<N> &sums, const Rows (&rows)[kMatrices], const std::int32_t *taps,
                         int steps, const unsigned char *weights, int lane) {
  // Several steps at once, as far as registers go: the loads of one hide behind another's products.
  [[maybe_unused]] constexpr int kSteps = N <= 4 ? 4 : 2;
  ESR_UNROLL_BY(kSteps)
  for (int step = 0; step < steps; ++step) {
    std::uint32_t inputs[kMatrices][4];
    ESR_UNROLL
    for (int m = 0; m < kMatrices; ++m) rows[m].load(inputs[m], taps, step, lane);
    ESR_UNROLL
    for (int n = 0; n < N; ++n) {
      const uint2 weight = fragment(weights, step * N + n, lane);
      ESR_UNROLL
      for (int m = 0; m < kMatrices; ++m) multiply_add(sums[m][n], inputs[m], weight);
    }
  }
}

template <int N>
ESR_DEVICE void activate(Sums<N> &sums, const Dense &dense, const Thread &thread) {
  ESR_UNROLL
  for (int n = 0; n < N; ++n) {
    const float2 slope = output_pair(thread.shared + dense.slopes, n, thread.lane);
    ESR_UNROLL
    for (int m = 0; m < kMatrices; ++m) {
      ESR_UNROLL
      for (int i = 0; i < 4; ++i) {
        const float value = sums[m][n][i];
        sums[m][n][i] = value < 0.0F ? value * (i % 2 == 0 ? slope.x : slope.y) : value;
      }
    }
  }
  if (!dense.has_clip) return;
  ESR_UNROLL
  for (int i = 0; i < kMatrices * N * 4; ++i) {
    float &value = sums[i / (N * 4)][i / 4 % N][i % 4];
    value = fminf(fmaxf(value, dense.low), dense.high);
  }
}

// The 1x1 convolution behind: a lane's sums of two groups are what it must hold of 16 inputs.
template <int From, int To>
ESR_DEVICE void multiply_sums(const Sums<From> &from, Sums<To> &to, const unsigned char *weights,
                              int lane) {
  ESR_UNROLL
  for (int step = 0; step < (From + 1) / 2; ++step) {
    std::uint32_t inputs[kMatrices][4];
    ESR_UNROLL
    for (int m = 0; m < kMatrices; ++m) {
      const float(&near)[4] = from[m][2 * step];
      inputs[m][0] = half_pair(near[0], near[1]);
      inputs[m][1] = half_pair(near[2], near[3]);
      inputs[m][2] = inputs[m][3] = 0U;
      if (2 * step + 1 < From) {
        const float(&far)[4] = from[m][2 * step + 1 < From ? 2 * step + 1 : 0];
        inputs[m][2] = half_pair(far[0], far[1]);
        inputs[m][3] = half_pair(far[2], far[3]);
      }
    }
    ESR_UNROLL
    for (int n = 0; n < To; ++n) {
      const uint2 weight = fragment(weights, step * To + n, lane);
      ESR_UNROLL
      for (int m = 0; m < kMatrices; ++m) multiply_add(to[m][n], inputs[m], weight);
    }
  }
}

// ---- Stages ----

// Activations of 16 pixels to a map. Beyond the frame they are zero, as every layer pads.
template <int N>
ESR_DEVICE void store_map(const float (&sums)[N][4], int first, const StageLayout &stage,
                          const FrameArguments &frame, const Tile &tile, const Thread &thread) {
  const Region &region = stage.region;
  ESR_UNROLL
  for (int half = 0; half < 2; ++half) {
    const int index = first + thread.lane / 4 + 8 * half;
    if (index >= region.width * region.height) continue;
    const Position at = position_of(index, region);
    const int x = tile.x0 - stage.margin + at.x;
    const int y = tile.y0 - stage.margin + at.y;
    const bool inside = is_inside(x, y, frame);
    unsigned char *pixel = thread.shared + stage.output + index * kGroupBytes;
    std::int64_t plane = region.width * region.height * kGroupBytes;
    if (stage.output < 0) {
      if (!inside) continue;
      pixel = frame.output_map + (std::int64_t{y} * frame.width + x) * kGroupBytes;
      plane = std::int64_t{frame.width} * frame.height * kGroupBytes;
    }
    ESR_UNROLL
    for (int n = 0; n < N; ++n) {
      if (n >= stage.out_groups) break;
      const std::uint32_t pair = half_pair(sums[n][2 * half], sums[n][2 * half + 1]);
      reinterpret_cast<std::uint32_t *>(pixel + n * plane)[thread.lane % 4] = inside ? pair : 0U;
    }
  }
}

template <class Rows, int First, int Second>
ESR_DEVICE void run_stage(const StageLayout &stage, const FrameArguments &frame, const Tile &tile,
                          const Thread &thread) {
  const Region &region = stage.region;
  const int pixels = region.width * region.height;
  const auto *taps = reinterpret_cast<const std::int32_t *>(thread.shared + stage.taps);
  constexpr int kPixels = kMatrices * kMatrixRows;
  for (int begin = thread.warp * kPixels; begin < pixels; begin += thread.warps * kPixels) {
    Rows rows[kMatrices];
    ESR_UNROLL
    for (int m = 0; m < kMatrices; ++m) {
      rows[m] = Rows::of(thread.shared + stage.input, stage.input_pitch, begin + m * kMatrixRows,
                         pixels - 1, region, 1, thread.lane);
    }
    Sums<First> sums;
    start_sums<First>(sums, thread.shared + stage.first.biases, thread.lane);
    multiply<First>(sums, rows, taps, stage.steps, thread.shared + stage.first.weights,
                    thread.lane);
    activate<First>(sums, stage.first, thread);
    if constexpr (Second > 0) {
      Sums<Second> outputs;
      start_sums<Second>(outputs, thread.shared + stage.second.biases, thread.lane);
      multiply_sums<First, Second>(sums, outputs, thread.shared + stage.second.weights,
                                   thread.lane);
      activate<Second>(outputs, stage.second, thread);
      ESR_UNROLL
      for (int m = 0; m < kMatrices; ++m) {
        store_map<Second>(outputs[m], begin + m * kMatrixRows, stage, frame, tile, thread);
      }
    } else {
      ESR_UNROLL
      for (int m = 0; m < kMatrices; ++m) {
        store_map<First>(sums[m], begin + m * kMatrixRows, stage, frame, tile, thread);
      }
    }
  }
}

template <bool FromPicture>
struct RowsOf {
  using Type = MapRows;
};
template <>
struct RowsOf<true> {
  using Type = PictureRows;
};

template <int Shape>
ESR_DEVICE void run_stage_of_shape(const StageLayout &stage, const FrameArguments &frame,
                                   const Tile &tile, const Thread &thread) {
  if (stage.shape == Shape) {
    constexpr StageShape kShape = kStageShapes[Shape];
    using Rows = typename RowsOf<kShape.from_picture>::Type;
    run_stage<Rows, kShape.first, kShape.second>(stage, frame, tile, thread);
    return;
  }
  if constexpr (Shape + 1 < kStageShapeCount) {
    run_stage_of_shape<Shape + 1>(stage, frame, tile, thread);
  }
}

// ---- The end of the chain ----

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

// ---- The pass ----

ESR_DEVICE void run_pass(const PassLayout &pass, const FrameArguments &frame) {
  const int index = thread_index();
  const Thread thread = {shared_memory(), index, index / 32, index % 32, pass.warps};
  const auto *constants = reinterpret_cast<const uint4 *>(frame.constants);
  for (int i = index; i < pass.constants_bytes / 16; i += 32 * thread.warps) {
    reinterpret_cast<uint4 *>(thread.shared)[i] = constants[i];
  }
  for (int number = block_index(); number < pass.tiles; number += block_count()) {
    const int row = number / pass.tiles_x;
    const Tile tile = {(number - row * pass.tiles_x) * pass.core_width, row * pass.core_height};
    if (pass.from_picture) {
      load_picture(pass, frame, tile, thread);
    } else {
      load_map(pass, frame, tile, thread);
    }
    block_barrier();
    for (int i = 0; i < pass.num_stages; ++i) {
      run_stage_of_shape<0>(pass.stages[i], frame, tile, thread);
      block_barrier();
    }
    if (!pass.to_pixels) continue;
    finish_pixels(pass, frame, tile, thread);
    block_barrier();
  }
}

}  // namespace esr::cuda
