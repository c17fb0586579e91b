// Frames of every layout against one another and against single planes.
#include <cstddef>
#include <cstdint>
#include <vector>

#include "api/upscaler.h"
#include "check.h"
#include "random_layer.h"

namespace {

using namespace esr;

constexpr std::int32_t kWidth = 37;
constexpr std::int32_t kHeight = 21;

std::unique_ptr<esr_upscaler> open(int scale, int threads) {
  Random random(static_cast<std::uint32_t>(scale));
  native::Network network;
  network.scale = scale;
  network.has_base = true;
  network.layers.push_back(random_layer(3, 1, 8, &random));
  network.layers.push_back(random_layer(3, 8, scale * scale, &random));
  network.layers.back().activation.slope.assign(static_cast<std::size_t>(scale * scale), 1.0F);
  esr_options options;
  esr_options_init(&options);
  options.num_threads = threads;
  return open_network(network, "random", "fp32", options);
}

using Samples = std::vector<std::uint16_t>;

// Rows of planes that end with padding, which nobody may write.
struct Picture {
  static constexpr std::uint16_t kPadding = 0xA5A5;

  Picture(esr_pixel_format format, std::int32_t width, std::int32_t height, int bit_depth) {
    esr_frame_init(&frame);
    frame.format = format;
    frame.width = width;
    frame.height = height;
    frame.bit_depth = bit_depth;
    for (int i = 0; i < planes(); ++i) {
      rows[i].assign(static_cast<std::size_t>(pitch(i) * height_of(i)), kPadding);
      frame.data[i] = rows[i].data();
      frame.stride_bytes[i] = pitch(i) * 2;
    }
  }

  bool is_interleaved() const {
    return frame.format == ESR_FORMAT_NV12 || frame.format == ESR_FORMAT_P010;
  }
  int planes() const { return frame.format == ESR_FORMAT_GREY ? 1 : is_interleaved() ? 2 : 3; }
  std::int32_t chroma_width() const {
    return frame.format == ESR_FORMAT_YUV444P ? frame.width : (frame.width + 1) / 2;
  }
  std::int32_t width_of(int plane) const {
    return plane == 0 ? frame.width : chroma_width() * (is_interleaved() ? 2 : 1);
  }
  std::int32_t height_of(int plane) const {
    const bool is_full = frame.format == ESR_FORMAT_YUV422P || frame.format == ESR_FORMAT_YUV444P;
    return plane == 0 || is_full ? frame.height : (frame.height + 1) / 2;
  }
  std::int32_t pitch(int plane) const { return width_of(plane) + 3; }

  std::uint16_t &at(int plane, std::int32_t x, std::int32_t y) {
    return rows[plane][static_cast<std::size_t>(y * pitch(plane) + x)];
  }

  bool has_whole_padding() {
    for (int i = 0; i < planes(); ++i) {
      for (std::int32_t y = 0; y < height_of(i); ++y) {
        for (std::int32_t x = width_of(i); x < pitch(i); ++x) {
          if (at(i, x, y) != kPadding) return false;
        }
      }
    }
    return true;
  }

  esr_frame frame;
  Samples rows[3];
};

void fill(Picture *picture) {
  Random random(17);
  const int peak = (1 << picture->frame.bit_depth) - 1;
  for (int i = 0; i < picture->planes(); ++i) {
    for (std::int32_t y = 0; y < picture->height_of(i); ++y) {
      for (std::int32_t x = 0; x < picture->width_of(i); ++x) {
        picture->at(i, x, y) = static_cast<std::uint16_t>(random.whole(0, peak));
      }
    }
  }
}

// The same picture in an interleaved format, every sample moved up by `shift` bits.
Picture interleaved(Picture &planar, esr_pixel_format format, int shift) {
  Picture pairs(format, planar.frame.width, planar.frame.height, planar.frame.bit_depth);
  const auto moved = [shift](std::uint16_t sample) {
    return static_cast<std::uint16_t>(sample << shift);
  };
  for (std::int32_t y = 0; y < planar.frame.height; ++y) {
    for (std::int32_t x = 0; x < planar.frame.width; ++x)
      pairs.at(0, x, y) = moved(planar.at(0, x, y));
  }
  for (std::int32_t y = 0; y < planar.height_of(1); ++y) {
    for (std::int32_t x = 0; x < planar.chroma_width(); ++x) {
      pairs.at(1, 2 * x, y) = moved(planar.at(1, x, y));
      pairs.at(1, 2 * x + 1, y) = moved(planar.at(2, x, y));
    }
  }
  return pairs;
}

Picture upscaled(esr_upscaler *upscaler, const Picture &lr) {
  const int scale = upscaler->info.scale;
  Picture sr(static_cast<esr_pixel_format>(lr.frame.format), lr.frame.width * scale,
             lr.frame.height * scale, lr.frame.bit_depth);
  sr.frame.chroma_location = lr.frame.chroma_location;
  CHECK_EQ(esr_upscale_frame(upscaler, &lr.frame, &sr.frame), ESR_OK);
  CHECK(sr.has_whole_padding());
  return sr;
}

bool same_samples(Picture &a, Picture &b) {
  for (int i = 0; i < a.planes(); ++i) {
    if (a.rows[i] != b.rows[i]) return false;
  }
  return true;
}

TEST(interleaved_formats_hold_what_planar_ones_hold) {
  for (int scale = 2; scale <= 4; ++scale) {
    const auto upscaler = open(scale, 2);
    for (const int bit_depth : {9, 10, 12, 16}) {
      Picture lr(ESR_FORMAT_YUV420P, kWidth, kHeight, bit_depth);
      fill(&lr);
      Picture sr = upscaled(upscaler.get(), lr);
      Picture expected = interleaved(sr, ESR_FORMAT_NV12, 0);
      Picture found = upscaled(upscaler.get(), interleaved(lr, ESR_FORMAT_NV12, 0));
      CHECK(same_samples(found, expected));
      expected = interleaved(sr, ESR_FORMAT_P010, 16 - bit_depth);
      found = upscaled(upscaler.get(), interleaved(lr, ESR_FORMAT_P010, 16 - bit_depth));
      CHECK(same_samples(found, expected));
    }
  }
}

TEST(luma_of_a_frame_is_that_of_a_plane_in_every_format) {
  const auto upscaler = open(2, 2);
  for (const esr_pixel_format format :
       {ESR_FORMAT_GREY, ESR_FORMAT_YUV420P, ESR_FORMAT_YUV422P, ESR_FORMAT_YUV444P}) {
    Picture lr(format, kWidth, kHeight, 10);
    fill(&lr);
    Picture sr = upscaled(upscaler.get(), lr);
    Picture grey(ESR_FORMAT_GREY, kWidth, kHeight, 10);
    grey.rows[0] = lr.rows[0];
    grey.frame.data[0] = grey.rows[0].data();
    CHECK(upscaled(upscaler.get(), grey).rows[0] == sr.rows[0]);
  }
}

TEST(frames_stored_bottom_up_come_out_alike) {
  const auto upscaler = open(3, 2);
  Picture lr(ESR_FORMAT_YUV422P, kWidth, kHeight, 12);
  fill(&lr);
  Picture expected = upscaled(upscaler.get(), lr);
  Picture flipped = lr;
  for (int i = 0; i < 3; ++i) {
    const std::int32_t height = lr.height_of(i);
    for (std::int32_t y = 0; y < height; ++y) {
      for (std::int32_t x = 0; x < lr.width_of(i); ++x) {
        flipped.at(i, x, height - 1 - y) = lr.at(i, x, y);
      }
    }
    flipped.frame.data[i] = &flipped.at(i, 0, height - 1);
    flipped.frame.stride_bytes[i] = -lr.frame.stride_bytes[i];
  }
  Picture found = upscaled(upscaler.get(), flipped);
  CHECK(same_samples(found, expected));
}

// A ramp of 100 per chroma column: a sample of the result holds its column, in LR chroma samples.
TEST(chroma_keeps_its_place_beside_luma) {
  const auto upscaler = open(2, 1);
  Picture lr(ESR_FORMAT_YUV420P, 16, 16, 8 + 2);
  for (const auto &[location, first] :
       {std::pair{ESR_CHROMA_LEFT, 0.25}, {ESR_CHROMA_CENTER, 0.0}}) {
    lr.frame.chroma_location = location;
    for (std::int32_t y = 0; y < 8; ++y) {
      for (std::int32_t x = 0; x < 8; ++x)
        lr.at(1, x, y) = lr.at(2, x, y) = static_cast<std::uint16_t>(100 * x);
    }
    Picture sr = upscaled(upscaler.get(), lr);
    // Sample 8 of 16 lies, by its location, on this column of the 8 of lr.
    const double column = (8 + 0.5 - first) / 2 - 0.5 + first;
    CHECK_EQ(static_cast<int>(sr.at(1, 8, 7)), static_cast<int>(100 * column + 0.5));
  }
}

TEST(threads_do_not_change_a_frame) {
  const auto one = open(4, 1);
  const auto seven = open(4, 7);
  Picture lr(ESR_FORMAT_YUV444P, kWidth, kHeight, 10);
  fill(&lr);
  Picture expected = upscaled(one.get(), lr);
  Picture found = upscaled(seven.get(), lr);
  CHECK(same_samples(found, expected));
}

TEST(a_refused_frame_leaves_the_result_alone) {
  const auto upscaler = open(2, 1);
  Picture lr(ESR_FORMAT_YUV420P, kWidth, kHeight, 10);
  fill(&lr);
  Picture sr(ESR_FORMAT_YUV420P, 2 * kWidth, 2 * kHeight, 10);
  Picture before = sr;
  sr.frame.data[2] = lr.frame.data[2];
  CHECK_EQ(esr_upscale_frame(upscaler.get(), &lr.frame, &sr.frame), ESR_ERR_INVALID_ARGUMENT);
  CHECK(same_samples(sr, before));
}

}  // namespace

CHECK_MAIN()
