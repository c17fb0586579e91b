// Pictures in memory, and random ones that are the same on every run.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "image/plane.h"
#include "random_layer.h"

template <class Sample>
struct Picture {
  Picture(int w, int h, esr::SampleType t, int depth)
      : width(w),
        height(h),
        type(t),
        bit_depth(depth),
        samples(static_cast<std::size_t>(w) * static_cast<std::size_t>(h)) {}

  esr::Plane plane() {
    return {reinterpret_cast<std::uint8_t *>(samples.data()),    width, height,
            static_cast<std::ptrdiff_t>(sizeof(Sample)) * width, type,  bit_depth};
  }
  esr::ConstPlane view() const {
    return {reinterpret_cast<const std::uint8_t *>(samples.data()), width, height,
            static_cast<std::ptrdiff_t>(sizeof(Sample)) * width,    type,  bit_depth};
  }

  int width;
  int height;
  esr::SampleType type;
  int bit_depth;
  std::vector<Sample> samples;
};

inline Picture<std::uint8_t> random_picture(int width, int height) {
  Picture<std::uint8_t> picture(width, height, esr::SampleType::kUint8, 8);
  Random random(static_cast<std::uint32_t>(width * 1000 + height));
  for (std::uint8_t &sample : picture.samples) {
    sample = static_cast<std::uint8_t>(random.whole(0, 255));
  }
  return picture;
}
