// A convolution over a run of pixels, in register blocks; the ISA is the traits class `T`:
//   kLanes, kChannels           lanes of a vector, channels of a lane
//   Acc, Data, Weights          a vector of sums, of lanes, and lanes of weights in a register
//   load, broadcast             from memory
//   weights(lanes, count)       `count` is kWeightsPerLoad, or 1 if a tap has fewer
//   mac(acc, data, weights, i)  multiply by weight i of them and accumulate
//   pack(sums, factors)         activation, then kChannels sums to one vector of lanes
//   kBlockSizes, vectors(size)  register blocks: output channels, and vectors of pixels beside each
// x86 broadcasts a weight as it loads it, so kWeightsPerLoad is 1. NEON multiplies by an element of
// a vector: one load brings four weights, and broadcasts and spilled sums are gone.
// Private to the files of kernels/{fp32,int8,bf16}; all here has internal linkage.
#pragma once

#include "kernels/body/inline.h"
#include "kernels/row_kernels.h"

namespace esr::kernels {
namespace {

constexpr int kLineLanes = 16;  // of a cache line of 64 bytes

// Adds a tap whose weights serve the sums RX0..RX1-1 of each of NRY rows of S. Each load brings a
// group of weights; the last group ends with the last weight and may overlap the one before.
template <class T, int S, int NRY, int NV, int RX0, int RX1>
ESR_INLINE void add_tap(const Lane *tap, const Lane *weights,
                        typename T::Acc (&sums)[NRY * S][NV]) {
  constexpr int kWidth = RX1 - RX0;
  constexpr int kWeights = NRY * kWidth;
  constexpr int kGroup = kWeights < T::kWeightsPerLoad ? 1 : T::kWeightsPerLoad;
  typename T::Data data[NV];
  ESR_UNROLL(8)
  for (int v = 0; v < NV; ++v) data[v] = T::load(tap + v * T::kLanes);
  ESR_UNROLL(16)
  for (int g = 0; g < kWeights; g += kGroup) {
    const int first = g < kWeights - kGroup ? g : kWeights - kGroup;
    const typename T::Weights group = T::weights(weights + first, kGroup);
    ESR_UNROLL(4)
    for (int i = 0; i < kGroup; ++i) {
      const int w = first + i;
      if (w < g) continue;  // added with the group before
      const int sum = w / kWidth * S + RX0 + w % kWidth;
      ESR_UNROLL(8)
      for (int v = 0; v < NV; ++v) sums[sum][v] = T::mac(sums[sum][v], data[v], group, i);
    }
  }
}

// Sums of NO output channels for NV vectors of pixels stay in registers over all taps.
template <class T, int NO, int NV>
ESR_INLINE void convolve(const ConvRow &row, const Lane *weights, int channel, std::ptrdiff_t x,
                         typename T::Acc (&sums)[NO][NV]) {
  ESR_UNROLL(16)
  for (int o = 0; o < NO; ++o) {
    const typename T::Acc init = T::broadcast(row.init + channel + o);
    ESR_UNROLL(8)
    for (int v = 0; v < NV; ++v) sums[o][v] = init;
  }
  for (int t = 0; t < row.num_taps; ++t) {
    const Lane *tap = row.taps[t] + row.tap_offset + x;
    // The blocks after next. A row of a group has several taps: they share its cache lines.
    __builtin_prefetch(tap + 2 * NV * T::kLanes + (t & 1) * kLineLanes, 0, 2);
    add_tap<T, NO, 1, NV, 0, NO>(tap, weights, sums);
    weights += NO;
  }
}

template <class T, int NO, int NV>
ESR_INLINE void emit(const ConvRow &row, int channel, std::ptrdiff_t x,
                     const typename T::Acc (&sums)[NO][NV]) {
  constexpr int kChannels = T::kChannels;
  Lane *out = row.out + x + channel / kChannels * row.out_pitch;
  ESR_UNROLL(16)
  for (int o = 0; o < NO; o += kChannels) {
    typename T::Factor factors[kChannels];
    ESR_UNROLL(4)
    for (int c = 0; c < kChannels; ++c) factors[c] = T::factor(row, channel + o + c);
    ESR_UNROLL(8)
    for (int v = 0; v < NV; ++v) {
      typename T::Acc group[kChannels];
      ESR_UNROLL(4)
      for (int c = 0; c < kChannels; ++c) group[c] = sums[o + c][v];
      T::store(out + v * T::kLanes, T::pack(group, factors));
    }
    out += row.out_pitch;
  }
}

// Real values of an INT8 layer whose successor runs in float.
template <class T, int NO, int NV>
ESR_INLINE void emit_float(const ConvRow &row, int channel, std::ptrdiff_t x,
                           const typename T::Acc (&sums)[NO][NV]) {
  Lane *out = row.out + x + channel * row.out_pitch;
  ESR_UNROLL(16)
  for (int o = 0; o < NO; ++o) {
    const typename T::Factor factor = T::factor(row, channel + o);
    ESR_UNROLL(8)
    for (int v = 0; v < NV; ++v) {
      T::store_float(out + v * T::kLanes, T::activate(sums[o][v], factor));
    }
    out += row.out_pitch;
  }
}

template <class T, bool IsFloatOut, int NO, int NV>
ESR_INLINE void conv_block(const ConvRow &row, const Lane *weights, int channel, std::ptrdiff_t x) {
  typename T::Acc sums[NO][NV];
  convolve<T, NO, NV>(row, weights, channel, x, sums);
  if constexpr (IsFloatOut) {
    emit_float<T, NO, NV>(row, channel, x, sums);
  } else {
    emit<T, NO, NV>(row, channel, x, sums);
  }
}

template <class T, bool IsFloatOut, int NO>
void conv_span(const ConvRow &row, const Lane *weights, int channel) {
  constexpr int NV = T::vectors(NO);
  std::ptrdiff_t x = 0;
  for (; x + (NV - 1) * T::kLanes < row.count; x += NV * T::kLanes) {
    conv_block<T, IsFloatOut, NO, NV>(row, weights, channel, x);
  }
  if constexpr (NV > 2) {
    for (; x + T::kLanes < row.count; x += 2 * T::kLanes) {
      conv_block<T, IsFloatOut, NO, 2>(row, weights, channel, x);
    }
  }
  if constexpr (NV > 1) {
    for (; x < row.count; x += T::kLanes) {
      conv_block<T, IsFloatOut, NO, 1>(row, weights, channel, x);
    }
  }
}

template <class T, bool IsFloatOut, int I = 0>
void conv_dispatch(const ConvRow &row, int size, const Lane *weights, int channel) {
  if constexpr (T::kBlockSizes[I] != 0) {
    constexpr int kSize = T::kBlockSizes[I];
    if (size == kSize) return conv_span<T, IsFloatOut, kSize>(row, weights, channel);
    conv_dispatch<T, IsFloatOut, I + 1>(row, size, weights, channel);
  }
}

template <class T, bool IsFloatOut>
void conv_blocks(const ConvRow &row) {
  const Lane *weights = row.weights;
  int channel = 0;
  for (int b = 0; b < row.num_blocks; ++b) {
    const int size = row.blocks[b];
    conv_dispatch<T, IsFloatOut>(row, size, weights, channel);
    weights += static_cast<std::ptrdiff_t>(size) * row.num_taps;
    channel += size;
  }
}

template <class T>
void conv_row(const ConvRow &row) {
  if constexpr (T::kIsQuantized) {
    if (row.is_float_out) return conv_blocks<T, true>(row);
  }
  conv_blocks<T, false>(row);
}

}  // namespace
}  // namespace esr::kernels
