// Matrix products: pixels are rows, channels are columns, a warp holds the sums.
#pragma once

#include "backends/cuda/block.h"

namespace esr::cuda {

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

}  // namespace esr::cuda
