// One input row's share of the sub-pixel tail, in register blocks of phases x vectors of pixels.
// Traits as in conv_body.h, and load_sums, store_sums and tail_vectors(phases).
#pragma once

#include "kernels/body/conv_body.h"
#include "kernels/body/inline.h"
#include "kernels/row_kernels.h"

namespace esr::kernels {
namespace {

// Taps that serve the phases RX0..RX1-1 of each of NRY rows.
template <class T, int S, int NRY, int NV, int RX0, int RX1>
ESR_INLINE void add_taps(const Lane *const *taps, int num_taps, const Lane *weights,
                         std::ptrdiff_t x, typename T::Acc (&sums)[NRY * S][NV]) {
  for (int t = 0; t < num_taps; ++t) {
    add_tap<T, S, NRY, NV, RX0, RX1>(taps[t] + x, weights, sums);
    weights += NRY * (RX1 - RX0);
  }
}

template <class T, int S, int NRY, int NV>
ESR_INLINE void add_segment(const TailSegment &segment, const Lane *const *taps,
                            const Lane *weights, std::ptrdiff_t x,
                            typename T::Acc (&sums)[NRY * S][NV]) {
  const int count = segment.num_taps;
  if (segment.rx_begin == 0 && segment.rx_end == S) {
    return add_taps<T, S, NRY, NV, 0, S>(taps, count, weights, x, sums);
  }
  if (segment.rx_begin == 0 && segment.rx_end == 1) {
    return add_taps<T, S, NRY, NV, 0, 1>(taps, count, weights, x, sums);
  }
  if constexpr (S == 3) {
    if (segment.rx_begin == 0) {
      return add_taps<T, S, NRY, NV, 0, 2>(taps, count, weights, x, sums);
    }
    return add_taps<T, S, NRY, NV, 2, 3>(taps, count, weights, x, sums);
  }
}

template <class T, int S, int NRY, int NV>
ESR_INLINE void tail_block(const TailRow &row, std::ptrdiff_t x) {
  typename T::Acc sums[NRY * S][NV];
  x += row.offset;
  ESR_UNROLL(16)
  for (int p = 0; p < NRY * S; ++p) {
    ESR_UNROLL(8)
    for (int v = 0; v < NV; ++v) sums[p][v] = T::load_sums(row.sums[p] + x + v * T::kLanes);
  }
  const Lane *const *taps = row.taps;
  const Lane *weights = row.weights;
  for (int s = 0; s < row.num_segments; ++s) {
    const TailSegment &segment = row.segments[s];
    add_segment<T, S, NRY, NV>(segment, taps, weights, x, sums);
    taps += segment.num_taps;
    weights +=
        static_cast<std::ptrdiff_t>(segment.num_taps) * NRY * (segment.rx_end - segment.rx_begin);
  }
  ESR_UNROLL(16)
  for (int p = 0; p < NRY * S; ++p) {
    ESR_UNROLL(8)
    for (int v = 0; v < NV; ++v) T::store_sums(row.sums[p] + x + v * T::kLanes, sums[p][v]);
  }
}

template <class T, int S, int NRY>
void tail_span(const TailRow &row) {
  constexpr int NV = T::tail_vectors(S * NRY);
  std::ptrdiff_t x = 0;
  for (; x + (NV - 1) * T::kLanes < row.count; x += NV * T::kLanes) {
    tail_block<T, S, NRY, NV>(row, x);
  }
  if constexpr (NV > 2) {
    for (; x + T::kLanes < row.count; x += 2 * T::kLanes) tail_block<T, S, NRY, 2>(row, x);
  }
  if constexpr (NV > 1) {
    for (; x < row.count; x += T::kLanes) tail_block<T, S, NRY, 1>(row, x);
  }
}

template <class T, int S, int NRY = 1>
void tail_rows(const TailRow &row) {
  if constexpr (NRY * S <= T::kMaxTailPhases) {
    if (row.num_rows == NRY) return tail_span<T, S, NRY>(row);
    tail_rows<T, S, NRY + 1>(row);
  }
}

template <class T>
void tail_row(const TailRow &row) {
  if (row.scale == 1) return tail_rows<T, 1>(row);
  if (row.scale == 2) return tail_rows<T, 2>(row);
  if (row.scale == 3) return tail_rows<T, 3>(row);
  tail_rows<T, 4>(row);
}

}  // namespace
}  // namespace esr::kernels
