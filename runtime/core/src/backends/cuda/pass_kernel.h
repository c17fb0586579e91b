// The kernel: one pass over a frame.
#pragma once

#include "backends/cuda/pixels.h"

namespace esr::cuda {

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
