// What the kernel must know about the samples of a frame.
#pragma once

#include "backends/cuda/pass.h"
#include "image/plane.h"

namespace esr::cuda {

// Without the constants and maps, which differ from pass to pass.
inline FrameArguments frame_arguments(const ConstPlane &lr, const Plane &sr) {
  const int extra_bits = lr.bit_depth - 8;
  FrameArguments frame{};
  frame.lr = lr.data;
  frame.sr = sr.data;
  frame.lr_stride = lr.stride;
  frame.sr_stride = sr.stride;
  frame.width = lr.width;
  frame.height = lr.height;
  frame.sample_bytes = static_cast<std::int32_t>(bytes_of(lr.type));
  frame.to_grey = 1.0F / static_cast<float>(1 << extra_bits);
  frame.from_grey = static_cast<float>(1 << extra_bits);
  frame.peak = static_cast<float>((1 << lr.bit_depth) - 1);
  return frame;
}

}  // namespace esr::cuda
