// The hot loops: what they do, and the table of functions that one ISA offers for one precision.
//
// A *lane* is 32 bits and belongs to one pixel. It holds 1 float32 channel, 2 bfloat16 or int16
// channels, or 4 int8 channels. A row of a feature map is `groups` runs of lanes, `pitch` lanes
// apart; channel c lives in group c / channels_per_lane. Neighbouring pixels are neighbouring
// lanes, so a shift by a pixel is a plain unaligned load and every kernel is one loop over taps:
// acc += tap[x] * weight.
//
// Kernels work on whole vectors: they read and write up to `vector_lanes - 1` lanes past `count`.
// Callers leave that room in their buffers. Inputs and outputs do not overlap.
#pragma once

#include <cstddef>
#include <cstdint>

namespace esr::kernels {

using Lane = std::uint32_t;

constexpr int kMaxVectorLanes = 16;
constexpr int kMaxScale = 4;
constexpr int kMaxTailSums = 16;  // pointers of a TailRow

// One convolution over a run of pixels, with its activation.
// sum[o][x] = init[o] + sum over t of taps[t][tap_offset + x] * weight[o][t]
// INT8: value = fma(float(sum), scale[o], shift[o]); otherwise value = sum
// out[o][x] = value < 0 ? value * slope[o] : value, INT8 rounded half to even and saturated
struct ConvRow {
  const Lane *const *taps;     // num_taps pointers
  std::ptrdiff_t tap_offset;   // in lanes
  std::int32_t num_taps;       // at least 1
  const Lane *weights;         // for each block: [tap][channel of the block]
  const std::uint8_t *blocks;  // sizes of the blocks of output channels, from block_sizes
  std::int32_t num_blocks;     //
  const Lane *init;            // per output channel: float32 bias, or int32
  const float *scale;          // per output channel, INT8
  const float *shift;          // per output channel, INT8
  const float *slope;          // per output channel
  bool is_float_out;           // int8: write float32 lanes instead of quantised ones
  Lane *out;                   //
  std::ptrdiff_t out_pitch;    // lanes between groups of `out`
  std::int32_t count;          // pixels
};

// Taps of a tail that serve the same phases of a row: rx_begin..rx_end-1.
struct TailSegment {
  std::int32_t num_taps;
  std::int32_t rx_begin;
  std::int32_t rx_end;
};

// One input row's share of the sub-pixel convolution: adds to raw sums (float32 or int32) of some
// SR rows, each with the phases rx in 0..scale-1.
struct TailRow {
  const Lane *const *taps;      // the segments' taps, one segment after the other
  const TailSegment *segments;  //
  std::int32_t num_segments;    //
  const Lane *weights;          // for each segment: [tap][row][rx of the segment]
  Lane *const *sums;            // num_rows * scale pointers, added to in place
  std::ptrdiff_t offset;        // in lanes, into taps and sums alike
  std::int32_t num_rows;        // num_rows * scale is at most max_tail_phases
  std::int32_t scale;           //
  std::int32_t count;           // pixels
};

// Source samples of one row to what the first layer reads.
struct LoadRow {
  const void *source;  // uint8, uint16 or float32 samples
  std::int32_t bytes_per_sample;
  float to_grey;  // factor to the 8-bit scale
  void *samples;  // uint8 (int8 kernels), bfloat16 or float32 grey levels
  std::int32_t count;
};

// Interleaves the samples of channels_per_lane rows: lane x of `out` holds sources[c][x].
struct InterleaveRow {
  const void *const *sources;
  Lane *out;
  std::int32_t count;
};

// One LR row of sums to `scale` rows of pixels.
// pixel = fma(sum, factor[phase], bias[phase]) + base (0 without one), or sum + base for float32
// sums; then rounded and clamped for integers.
struct StoreRow {
  const Lane *const *sums;   // scale * scale pointers: [ry][rx]
  const float *factors;      // int8: per phase; else ignored
  const float *biases;       // int8: per phase; else ignored
  const float *const *base;  // scale * scale pointers, or null
  std::int32_t scale;
  std::uint8_t *const *pixels;  // `scale` rows
  std::int32_t bytes_per_sample;
  float from_grey;  // integers: factor from the 8-bit scale
  float peak;       // integers: largest value
  float *scratch;   // scale * (count + kMaxVectorLanes) floats
  std::int32_t count;
};

// Float32 lanes to quantised lanes: q = round half to even (value / scale), saturated.
struct QuantizeRow {
  const Lane *in;
  std::ptrdiff_t in_pitch;
  std::int32_t channels;
  float scale;
  Lane *out;
  std::ptrdiff_t out_pitch;
  std::int32_t count;
};

// Clamps activations in place, for Clip and ReLU6. Limits are those of the lane's own values.
struct ClipRow {
  Lane *lanes;
  std::ptrdiff_t pitch;
  std::int32_t groups;
  float low;
  float high;
  std::int32_t count;
};

// Bicubic base of one LR row: rows of `width` + 4 samples, the first two and last two repeated.
struct BaseRow {
  const float *const *rows;  // LR rows y-2 .. y+2, each pointing at x = 0
  std::int32_t scale;
  const float *weights;  // [phase][5], taps -2..2
  float *vertical;       // scratch: count + 4 floats
  float *const *base;    // scale * scale rows: [ry][rx]
  std::int32_t count;
};

struct RowKernels {
  const char *isa;
  std::int32_t vector_lanes;
  std::int32_t channels_per_lane;
  std::int32_t sample_bytes;        // of LoadRow's output
  Lane border;                      // a lane of zeros
  std::int32_t zero_point;          // int8: what is added to q in a lane (128 or 0)
  bool is_signed16;                 // int8 kept as two int16
  const std::uint8_t *block_sizes;  // descending, ends with 0
  std::int32_t max_tail_phases;     // num_rows * scale of a TailRow is at most this
  void (*conv)(const ConvRow &);
  void (*tail)(const TailRow &);
  void (*load)(const LoadRow &);
  void (*interleave)(const InterleaveRow &);
  void (*store)(const StoreRow &);
  void (*quantize)(const QuantizeRow &);  // int8 only
  void (*clip)(const ClipRow &);
  void (*base)(const BaseRow &);
};

}  // namespace esr::kernels
