// Row operations at both ends of the chain, written plainly: each ISA's file compiles them with its
// own flags and the compiler vectorises. No contraction to FMA, so all ISAs give the same bits.
#pragma once

#include "kernels/body/inline.h"
#include "kernels/row_kernels.h"

namespace esr::kernels {
namespace {

// Adding 1.5 * 2^23 leaves the value, rounded half to even, in the low bits; exact below 2^22.
constexpr float kRounder = 12582912.0F;
constexpr std::int32_t kRounderBits = 0x4B400000;

ESR_INLINE std::int32_t rounded(float value) {
  const float shifted = value + kRounder;
  std::int32_t bits = 0;
  __builtin_memcpy(&bits, &shifted, sizeof(bits));
  return bits - kRounderBits;
}

// NaN becomes `low`.
ESR_INLINE float clamped(float value, float low, float high) {
  const float above = value > low ? value : low;
  return above < high ? above : high;
}

ESR_INLINE float float_from_lane(Lane lane) {
  float value = 0.0F;
  __builtin_memcpy(&value, &lane, sizeof(value));
  return value;
}

ESR_INLINE Lane lane_from_float(float value) {
  Lane lane = 0;
  __builtin_memcpy(&lane, &value, sizeof(lane));
  return lane;
}

// Round to nearest even, as VCVTNEPS2BF16 does for normal numbers.
ESR_INLINE std::uint16_t bfloat16_from_float(float value) {
  const Lane bits = lane_from_float(value);
  return static_cast<std::uint16_t>((bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16);
}

ESR_INLINE float float_from_bfloat16(std::uint32_t half) { return float_from_lane(half << 16); }

struct Float32Sample {
  using Type = float;
  static ESR_INLINE float from(float grey) { return grey; }
};

struct Bfloat16Sample {
  using Type = std::uint16_t;
  static ESR_INLINE std::uint16_t from(float grey) { return bfloat16_from_float(grey); }
};

// Grey level as the quantised graph sees it: (x - 128) / 255 at scale 1/255, here plus 128.
struct Uint8Sample {
  using Type = std::uint8_t;
  static ESR_INLINE std::uint8_t from(float grey) {
    constexpr float kUnit = 1.0F / 255.0F;
    const float q = (grey - 128.0F) * kUnit / kUnit;
    return static_cast<std::uint8_t>(rounded(clamped(q, -128.0F, 127.0F)) + 128);
  }
};

template <class Sample, class Source>
void load_samples(const LoadRow &row) {
  const auto *__restrict source = static_cast<const Source *>(row.source);
  auto *__restrict samples = static_cast<typename Sample::Type *>(row.samples);
  const float to_grey = row.to_grey;
  const std::int32_t count = row.count;
  for (std::int32_t x = 0; x < count; ++x) {
    samples[x] = Sample::from(static_cast<float>(source[x]) * to_grey);
  }
}

template <class Sample>
void load_row(const LoadRow &row) {
  if (row.bytes_per_sample == 4) return load_samples<Sample, float>(row);
  if (row.bytes_per_sample == 2) return load_samples<Sample, std::uint16_t>(row);
  if (sizeof(typename Sample::Type) == 1) {
    __builtin_memcpy(row.samples, row.source, static_cast<std::size_t>(row.count));
    return;
  }
  load_samples<Sample, std::uint8_t>(row);
}

// `flip` turns unsigned bytes into signed ones where the lanes keep q instead of q + 128.
template <Lane flip>
void interleave_bytes(const InterleaveRow &row) {
  const auto *__restrict a = static_cast<const std::uint8_t *>(row.sources[0]);
  const auto *__restrict b = static_cast<const std::uint8_t *>(row.sources[1]);
  const auto *__restrict c = static_cast<const std::uint8_t *>(row.sources[2]);
  const auto *__restrict d = static_cast<const std::uint8_t *>(row.sources[3]);
  Lane *__restrict out = row.out;
  const std::int32_t count = row.count;
  for (std::int32_t x = 0; x < count; ++x) {
    const Lane lane = Lane{a[x]} | Lane{b[x]} << 8 | Lane{c[x]} << 16 | Lane{d[x]} << 24;
    out[x] = lane ^ flip;
  }
}

// Unsigned bytes to pairs of q = byte - 128 as int16.
[[maybe_unused]] void interleave_signed16(const InterleaveRow &row) {
  const auto *__restrict a = static_cast<const std::uint8_t *>(row.sources[0]);
  const auto *__restrict b = static_cast<const std::uint8_t *>(row.sources[1]);
  Lane *__restrict out = row.out;
  const std::int32_t count = row.count;
  for (std::int32_t x = 0; x < count; ++x) {
    const Lane low = (Lane{a[x]} - 128U) & 0xFFFFU;
    out[x] = low | (Lane{b[x]} - 128U) << 16;
  }
}

[[maybe_unused]] void interleave_halves(const InterleaveRow &row) {
  const auto *__restrict a = static_cast<const std::uint16_t *>(row.sources[0]);
  const auto *__restrict b = static_cast<const std::uint16_t *>(row.sources[1]);
  Lane *__restrict out = row.out;
  const std::int32_t count = row.count;
  for (std::int32_t x = 0; x < count; ++x) out[x] = Lane{a[x]} | Lane{b[x]} << 16;
}

[[maybe_unused]] void interleave_floats(const InterleaveRow &row) {
  __builtin_memcpy(row.out, row.sources[0], static_cast<std::size_t>(row.count) * sizeof(Lane));
}

// Sums of one phase to grey levels.
template <bool IsInteger>
ESR_INLINE void grey_levels(const Lane *__restrict sums, float factor, float bias,
                            std::int32_t count, float *__restrict grey) {
  for (std::int32_t x = 0; x < count; ++x) {
    if constexpr (IsInteger) {
      grey[x] =
          __builtin_fmaf(static_cast<float>(static_cast<std::int32_t>(sums[x])), factor, bias);
    } else {
      grey[x] = float_from_lane(sums[x]);
    }
  }
}

ESR_INLINE void add_base(const float *__restrict base, std::int32_t count, float *__restrict grey) {
  for (std::int32_t x = 0; x < count; ++x) grey[x] += base[x];
}

// Grey levels to the integers of a sample type.
struct PixelScale {
  float from_grey;
  float peak;
  ESR_INLINE std::uint32_t operator()(float grey) const {
    return static_cast<std::uint32_t>(rounded(clamped(grey * from_grey, 0.0F, peak)));
  }
};

// S bytes next to each other, as one word where there is one of that size.
template <int S>
ESR_INLINE void write_bytes(const float *__restrict grey, std::ptrdiff_t pitch, PixelScale pixel,
                            std::int32_t count, std::uint8_t *__restrict pixels) {
  for (std::int32_t x = 0; x < count; ++x) {
    if constexpr (S == 2) {
      const auto pair = static_cast<std::uint16_t>(pixel(grey[x]) | pixel(grey[pitch + x]) << 8);
      __builtin_memcpy(pixels + 2 * x, &pair, sizeof(pair));
    } else if constexpr (S == 4) {
      const std::uint32_t quad = pixel(grey[x]) | pixel(grey[pitch + x]) << 8 |
                                 pixel(grey[2 * pitch + x]) << 16 |
                                 pixel(grey[3 * pitch + x]) << 24;
      __builtin_memcpy(pixels + 4 * x, &quad, sizeof(quad));
    } else {
      for (int rx = 0; rx < S; ++rx) {
        pixels[S * x + rx] = static_cast<std::uint8_t>(pixel(grey[rx * pitch + x]));
      }
    }
  }
}

template <int S>
ESR_INLINE void write_words(const float *__restrict grey, std::ptrdiff_t pitch, PixelScale pixel,
                            std::int32_t count, std::uint8_t *__restrict pixels) {
  for (std::int32_t x = 0; x < count; ++x) {
    for (int rx = 0; rx < S; ++rx) {
      const auto sample = static_cast<std::uint16_t>(pixel(grey[rx * pitch + x]));
      __builtin_memcpy(pixels + 2 * (S * x + rx), &sample, sizeof(sample));
    }
  }
}

template <int S>
ESR_INLINE void write_floats(const float *__restrict grey, std::ptrdiff_t pitch, std::int32_t count,
                             std::uint8_t *__restrict pixels) {
  for (std::int32_t x = 0; x < count; ++x) {
    for (int rx = 0; rx < S; ++rx) {
      __builtin_memcpy(pixels + 4 * (S * x + rx), grey + rx * pitch + x, sizeof(float));
    }
  }
}

template <int S>
void write_pixels(const StoreRow &row, std::ptrdiff_t pitch, std::uint8_t *pixels) {
  const PixelScale pixel{row.from_grey, row.peak};
  if (row.bytes_per_sample == 1) {
    write_bytes<S>(row.scratch, pitch, pixel, row.count, pixels);
  } else if (row.bytes_per_sample == 2) {
    write_words<S>(row.scratch, pitch, pixel, row.count, pixels);
  } else {
    write_floats<S>(row.scratch, pitch, row.count, pixels);
  }
}

template <bool IsInteger>
void store_row(const StoreRow &row) {
  const std::ptrdiff_t pitch = row.count + kMaxVectorLanes;
  for (int ry = 0; ry < row.scale; ++ry) {
    for (int rx = 0; rx < row.scale; ++rx) {
      const int phase = ry * row.scale + rx;
      float *grey = row.scratch + rx * pitch;
      grey_levels<IsInteger>(row.sums[phase], IsInteger ? row.factors[phase] : 1.0F,
                             IsInteger ? row.biases[phase] : 0.0F, row.count, grey);
      if (row.base != nullptr) add_base(row.base[phase], row.count, grey);
    }
    if (row.scale == 1) write_pixels<1>(row, pitch, row.pixels[ry]);
    if (row.scale == 2) write_pixels<2>(row, pitch, row.pixels[ry]);
    if (row.scale == 3) write_pixels<3>(row, pitch, row.pixels[ry]);
    if (row.scale == 4) write_pixels<4>(row, pitch, row.pixels[ry]);
  }
}

ESR_INLINE std::int32_t quantized(float value, float scale) {
  return rounded(clamped(value / scale, -128.0F, 127.0F));
}

// Four int8 in a lane, `flip` as in interleave_bytes; channels beyond the last are zero.
template <Lane flip>
void quantize_bytes(const QuantizeRow &row) {
  for (int first = 0; first < row.channels; first += 4) {
    Lane *out = row.out + first / 4 * row.out_pitch;
    for (std::int32_t x = 0; x < row.count; ++x) {
      Lane lane = 0;
      for (int c = 0; c < 4 && first + c < row.channels; ++c) {
        const float value = float_from_lane(row.in[(first + c) * row.in_pitch + x]);
        lane |= (static_cast<Lane>(quantized(value, row.scale)) & 0xFFU) << (8 * c);
      }
      out[x] = lane ^ flip;
    }
  }
}

[[maybe_unused]] void quantize_signed16(const QuantizeRow &row) {
  for (int first = 0; first < row.channels; first += 2) {
    Lane *out = row.out + first / 2 * row.out_pitch;
    for (std::int32_t x = 0; x < row.count; ++x) {
      Lane lane = 0;
      for (int c = 0; c < 2 && first + c < row.channels; ++c) {
        const float value = float_from_lane(row.in[(first + c) * row.in_pitch + x]);
        lane |= (static_cast<Lane>(quantized(value, row.scale)) & 0xFFFFU) << (16 * c);
      }
      out[x] = lane;
    }
  }
}

// Clamps each field of a lane; `Field` names what a lane holds.
template <class Field>
void clip_row(const ClipRow &row) {
  for (int g = 0; g < row.groups; ++g) {
    Lane *lanes = row.lanes + g * row.pitch;
    for (std::int32_t x = 0; x < row.count; ++x)
      lanes[x] = Field::clip(lanes[x], row.low, row.high);
  }
}

struct Float32Field {
  static ESR_INLINE Lane clip(Lane lane, float low, float high) {
    return lane_from_float(clamped(float_from_lane(lane), low, high));
  }
};

struct Bfloat16Field {
  static ESR_INLINE Lane clip(Lane lane, float low, float high) {
    const float first = clamped(float_from_bfloat16(lane & 0xFFFFU), low, high);
    const float second = clamped(float_from_bfloat16(lane >> 16), low, high);
    return Lane{bfloat16_from_float(first)} | Lane{bfloat16_from_float(second)} << 16;
  }
};

// Four int8 kept as q + offset.
template <int offset>
struct ByteField {
  static ESR_INLINE Lane clip(Lane lane, float low, float high) {
    const auto smallest = static_cast<std::int32_t>(low);
    const auto largest = static_cast<std::int32_t>(high);
    Lane clipped = 0;
    for (int c = 0; c < 4; ++c) {
      const auto byte = static_cast<std::uint8_t>(lane >> (8 * c));
      std::int32_t q = offset != 0 ? byte - offset : static_cast<std::int8_t>(byte);
      q = q < smallest ? smallest : q > largest ? largest : q;
      clipped |= (static_cast<Lane>(q + offset) & 0xFFU) << (8 * c);
    }
    return clipped;
  }
};

struct Signed16Field {
  static ESR_INLINE Lane clip(Lane lane, float low, float high) {
    Lane clipped = 0;
    for (int c = 0; c < 2; ++c) {
      const auto q = static_cast<float>(static_cast<std::int16_t>(lane >> (16 * c)));
      const auto kept = static_cast<std::int32_t>(clamped(q, low, high));
      clipped |= (static_cast<Lane>(kept) & 0xFFFFU) << (16 * c);
    }
    return clipped;
  }
};

ESR_INLINE void base_columns(const float *const *rows, const float *weights, std::int32_t count,
                             float *__restrict vertical) {
  const float *__restrict a = rows[0] - 2;
  const float *__restrict b = rows[1] - 2;
  const float *__restrict c = rows[2] - 2;
  const float *__restrict d = rows[3] - 2;
  const float *__restrict e = rows[4] - 2;
  const float w[5] = {weights[0], weights[1], weights[2], weights[3], weights[4]};
  for (std::int32_t x = 0; x < count + 4; ++x) {
    const float ab = __builtin_fmaf(w[1], b[x], w[0] * a[x]);
    vertical[x] =
        __builtin_fmaf(w[4], e[x], __builtin_fmaf(w[3], d[x], __builtin_fmaf(w[2], c[x], ab)));
  }
}

ESR_INLINE void base_phase(const float *__restrict vertical, const float *weights,
                           std::int32_t count, float *__restrict base) {
  const float w[5] = {weights[0], weights[1], weights[2], weights[3], weights[4]};
  for (std::int32_t x = 0; x < count; ++x) {
    const float *v = vertical + x;
    const float first = __builtin_fmaf(w[1], v[1], w[0] * v[0]);
    base[x] =
        __builtin_fmaf(w[4], v[4], __builtin_fmaf(w[3], v[3], __builtin_fmaf(w[2], v[2], first)));
  }
}

// Separable bicubic upscaling of one row: columns first, then the phases along the row.
void base_row(const BaseRow &row) {
  for (int ry = 0; ry < row.scale; ++ry) {
    base_columns(row.rows, row.weights + ry * 5, row.count, row.vertical);
    for (int rx = 0; rx < row.scale; ++rx) {
      base_phase(row.vertical, row.weights + rx * 5, row.count, row.base[ry * row.scale + rx]);
    }
  }
}

}  // namespace
}  // namespace esr::kernels
