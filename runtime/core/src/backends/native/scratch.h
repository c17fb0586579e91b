// One worker's buffers: everything a tile needs, allocated once for the widest tile.
#pragma once

#include <cstdint>
#include <vector>

#include "backends/native/chain.h"
#include "base/aligned_buffer.h"

namespace esr::native {

// Columns left and right of a tile that buffers hold: kernels shift by at most 7 + 3 pixels, and
// write at most a vector too far.
constexpr int kMargin = 32;
// A strip is what layers of one stage hand to each other, and to the tail, in L1: a multiple of
// this many pixels, which all register blocks divide.
constexpr int kStripStep = 96;

// Rows of `groups` lanes per pixel; pixel 0 of a row lies kMargin lanes in.
class RowRing {
 public:
  RowRing() = default;
  RowRing(int rows, int groups, int width, Lane fill);

  Lane *row(std::int32_t y) noexcept {
    return lanes_.data() + static_cast<std::ptrdiff_t>(y % rows_) * groups_ * pitch_ + kMargin;
  }
  std::ptrdiff_t pitch() const noexcept { return pitch_; }

 private:
  int rows_ = 1;
  int groups_ = 0;
  std::ptrdiff_t pitch_ = 0;
  AlignedBuffer<Lane> lanes_;
};

// Lanes between rows or groups for `width` pixels, an odd count of cache lines so that the same
// pixel of neighbouring groups does not fall into the same cache set.
std::ptrdiff_t pitch_of(int width);

struct Scratch {
  Scratch() = default;
  Scratch(const Chain &chain, int width);

  int width = 0;                        // pixels of the widest window
  int strip = kStripStep;               // pixels of a strip
  std::ptrdiff_t strip_pitch = 0;       // lanes between the groups of a strip
  AlignedBuffer<std::uint8_t> samples;  // ring of source rows, and one of zeros at its end
  std::ptrdiff_t sample_pitch = 0;      // bytes
  RowRing picture;                      // lanes of the first layer's input
  std::vector<RowRing> stages;          // outputs
  std::vector<RowRing> outside;         // a row of zeros in each stage's form
  AlignedBuffer<Lane> strips[2];        // between the layers of a stage
  RowRing sums;                         // phases of the LR rows that the tail is adding to
  RowRing unused_sums;                  // takes what belongs to rows of other tiles
  RowRing base_rows;                    // LR rows as grey levels
  RowRing base;                         // scale * scale phases of the base of a row
  RowRing enlarged;                     // rows of the base that the layers read, then add to
  AlignedBuffer<float> vertical;
  AlignedBuffer<float> pixels;     // of StoreRow
  std::vector<const Lane *> taps;  // of the layer at work
  std::vector<const Lane *> tail_taps;
  std::vector<const Lane *> strip_taps[2];  // groups of each strip buffer
};

// Bytes that a worker touches again and again per column of a tile.
std::size_t bytes_per_column(const Chain &chain);

}  // namespace esr::native
