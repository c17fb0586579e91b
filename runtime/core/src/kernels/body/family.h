// The table entry of an ISA from its traits.
#pragma once

#include "kernels/body/conv_body.h"
#include "kernels/body/pixel_rows.h"
#include "kernels/body/tail_body.h"
#include "kernels/row_kernels.h"

namespace esr::kernels {
namespace {

constexpr Lane kSignBits = 0x80808080U;

template <class T>
constexpr RowKernels family(const char *isa) {
  RowKernels kernels{};
  kernels.isa = isa;
  kernels.vector_lanes = T::kLanes;
  kernels.channels_per_lane = T::kChannels;
  kernels.block_sizes = T::kBlockSizes;
  kernels.max_tail_phases = T::kMaxTailPhases;
  kernels.conv = conv_row<T>;
  kernels.tail = tail_row<T>;
  kernels.base = base_row;
  kernels.store = store_row<T::kIsQuantized>;
  return kernels;
}

template <class T>
constexpr RowKernels float32_family(const char *isa) {
  RowKernels kernels = family<T>(isa);
  kernels.sample_bytes = 4;
  kernels.load = load_row<Float32Sample>;
  kernels.interleave = interleave_floats;
  kernels.clip = clip_row<Float32Field>;
  return kernels;
}

template <class T>
constexpr RowKernels bfloat16_family(const char *isa) {
  RowKernels kernels = family<T>(isa);
  kernels.sample_bytes = 2;
  kernels.load = load_row<Bfloat16Sample>;
  kernels.interleave = interleave_halves;
  kernels.clip = clip_row<Bfloat16Field>;
  return kernels;
}

// Lanes of four bytes, q + 128 if unsigned (x86 multiplies unsigned by signed bytes), else q.
template <class T, bool IsUnsigned>
constexpr RowKernels int8_family(const char *isa) {
  RowKernels kernels = family<T>(isa);
  kernels.sample_bytes = 1;
  kernels.zero_point = IsUnsigned ? 128 : 0;
  kernels.border = IsUnsigned ? kSignBits : 0U;
  kernels.load = load_row<Uint8Sample>;
  kernels.interleave = interleave_bytes < IsUnsigned ? 0U : kSignBits > ;
  kernels.quantize = quantize_bytes < IsUnsigned ? kSignBits : 0U > ;
  kernels.clip = clip_row<ByteField<IsUnsigned ? 128 : 0>>;
  return kernels;
}

// Lanes of two int16.
template <class T>
constexpr RowKernels int8_as_int16_family(const char *isa) {
  RowKernels kernels = family<T>(isa);
  kernels.sample_bytes = 1;
  kernels.load = load_row<Uint8Sample>;
  kernels.interleave = interleave_signed16;
  kernels.quantize = quantize_signed16;
  kernels.clip = clip_row<Signed16Field>;
  return kernels;
}

}  // namespace
}  // namespace esr::kernels
