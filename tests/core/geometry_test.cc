// Planes and frames of any shape: what is accepted lies where the caller said, the rest is refused.
#include "image/geometry.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "base/error.h"
#include "check.h"
#include "random_layer.h"

namespace {

using namespace esr;

// No test here touches the memory.
void *address(std::uintptr_t value) { return reinterpret_cast<void *>(value); }

RowLayout layout(std::uintptr_t data, std::ptrdiff_t stride, std::int32_t height,
                 std::int64_t samples) {
  return {address(data), stride, height, samples, 1};
}

bool overlap_by_bytes(const RowLayout &a, const RowLayout &b) {
  std::vector<bool> taken(4096);
  const auto at = [](const RowLayout &rows, std::int32_t y, std::int64_t x) {
    return static_cast<std::size_t>(reinterpret_cast<std::intptr_t>(rows.data) + y * rows.stride +
                                    x);
  };
  for (std::int32_t y = 0; y < a.height; ++y) {
    for (std::int64_t x = 0; x < a.samples; ++x) taken[at(a, y, x)] = true;
  }
  for (std::int32_t y = 0; y < b.height; ++y) {
    for (std::int64_t x = 0; x < b.samples; ++x) {
      if (taken[at(b, y, x)]) return true;
    }
  }
  return false;
}

TEST(planes_that_share_a_byte_overlap_and_those_of_one_pitch_only_then) {
  Random random(3);
  int found = 0;
  for (int round = 0; round < 20000; ++round) {
    const int pitch = random.whole(4, 12);
    RowLayout planes[2];
    for (RowLayout &plane : planes) {
      const int sign = random.whole(0, 1) == 0 ? 1 : -1;
      const auto data = static_cast<std::uintptr_t>(1000 + random.whole(0, 60));
      plane = layout(data, sign * pitch, random.whole(1, 6), random.whole(1, pitch));
    }
    const bool is_shared = overlap_by_bytes(planes[0], planes[1]);
    found += is_shared;
    if (overlap(checked_area(planes[0], "a"), checked_area(planes[1], "b")) != is_shared) {
      CHECK_EQ(round, -1);
      break;
    }
  }
  CHECK(found > 1000 && found < 19000);
  // Rows that drift past each other are taken as overlapping.
  CHECK(overlap(checked_area(layout(1000, 10, 5, 2), "a"),
                checked_area(layout(1004, 11, 5, 2), "b")));
}

TEST(rows_past_the_end_of_memory_are_refused) {
  const auto last = std::numeric_limits<std::uintptr_t>::max();
  CHECK_ERROR(checked_area(layout(last - 50, 100, 2, 100), "lr"), "lr has rows past the end");
  CHECK_ERROR(checked_area(layout(last - 50, 100, 1, 60), "lr"), "lr has rows past the end");
  CHECK_ERROR(checked_area(layout(50, -100, 2, 10), "sr"), "sr has rows past the end");
  const Area area = checked_area(layout(1050, -100, 3, 10), "sr");
  CHECK_EQ(area.begin, std::uintptr_t{850});
  CHECK_EQ(area.end, std::uintptr_t{1060});
}

esr_frame frame_of(esr_pixel_format format, std::int32_t width, std::int32_t height,
                   std::uintptr_t data) {
  esr_frame frame;
  esr_frame_init(&frame);
  frame.format = format;
  frame.width = width;
  frame.height = height;
  for (int i = 0; i < 3; ++i) {
    frame.data[i] = address(data + static_cast<std::uintptr_t>(i) * 0x100000);
    frame.stride_bytes[i] = 512;
  }
  return frame;
}

TEST(chroma_sizes_round_up_and_interleaved_chroma_is_one_plane) {
  const FramePlanes planar = checked_frame(frame_of(ESR_FORMAT_YUV420P, 7, 5, 0x1000000), "lr");
  CHECK_EQ(planar.num_areas, 3);
  CHECK_EQ(planar.chroma[1].plane.width, 4);
  CHECK_EQ(planar.chroma[1].plane.height, 3);
  const FramePlanes tall = checked_frame(frame_of(ESR_FORMAT_YUV422P, 7, 5, 0x1000000), "lr");
  CHECK_EQ(tall.chroma[0].plane.height, 5);
  const FramePlanes pairs = checked_frame(frame_of(ESR_FORMAT_NV12, 7, 5, 0x1000000), "lr");
  CHECK_EQ(pairs.num_areas, 2);
  CHECK_EQ(pairs.chroma[1].step, 2);
  CHECK_EQ(pairs.chroma[1].plane.data - pairs.chroma[0].plane.data, std::ptrdiff_t{1});
  CHECK_EQ(pairs.areas[1].row, std::size_t{8});
  CHECK_EQ(checked_frame(frame_of(ESR_FORMAT_GREY, 7, 5, 0x1000000), "lr").num_chroma, 0);
}

ChromaPhase phase_of(esr_pixel_format format, esr_chroma_location location) {
  esr_frame frame = frame_of(format, 8, 8, 0x1000000);
  frame.chroma_location = location;
  return checked_frame(frame, "lr").phase;
}

TEST(only_subsampled_axes_have_a_phase) {
  CHECK_EQ(phase_of(ESR_FORMAT_YUV420P, ESR_CHROMA_LEFT).x, -0.25F);
  CHECK_EQ(phase_of(ESR_FORMAT_YUV420P, ESR_CHROMA_LEFT).y, 0.0F);
  CHECK_EQ(phase_of(ESR_FORMAT_YUV420P, ESR_CHROMA_CENTER).x, 0.0F);
  CHECK_EQ(phase_of(ESR_FORMAT_YUV420P, ESR_CHROMA_TOP).x, 0.0F);
  CHECK_EQ(phase_of(ESR_FORMAT_YUV420P, ESR_CHROMA_TOP).y, -0.25F);
  CHECK_EQ(phase_of(ESR_FORMAT_YUV422P, ESR_CHROMA_TOP_LEFT).x, -0.25F);
  CHECK_EQ(phase_of(ESR_FORMAT_YUV422P, ESR_CHROMA_TOP_LEFT).y, 0.0F);
  CHECK_EQ(phase_of(ESR_FORMAT_YUV444P, ESR_CHROMA_TOP_LEFT).x, 0.0F);
}

void check_together(const esr_frame &lr, const esr_frame &sr) {
  check_frames(lr, checked_frame(lr, "lr"), sr, checked_frame(sr, "sr"), 2);
}

TEST(frames_that_are_unlike_or_share_memory_are_refused) {
  const esr_frame lr = frame_of(ESR_FORMAT_YUV420P, 100, 60, 0x1000000);
  const esr_frame sr = frame_of(ESR_FORMAT_YUV420P, 200, 120, 0x2000000);
  check_together(lr, sr);
  esr_frame bad = sr;
  bad.data[0] = lr.data[2];
  CHECK_ERROR(check_together(lr, bad), "lr and sr overlap in memory");
  bad = sr;
  bad.data[2] = sr.data[1];
  CHECK_ERROR(check_together(lr, bad), "sr planes 1 and 2 overlap in memory");
  bad.data[2] = static_cast<std::uint8_t *>(sr.data[1]) + 256;
  check_together(lr, bad);  // U and V side by side
  bad = sr;
  bad.chroma_location = ESR_CHROMA_CENTER;
  CHECK_ERROR(check_together(lr, bad), "differ in format or chroma location");
  bad = sr;
  bad.bit_depth = 10;
  CHECK_ERROR(check_together(lr, bad), "differ in sample type or bit depth");
  bad = sr;
  bad.height = 119;
  CHECK_ERROR(check_together(lr, bad), "200x119 is not 2 times lr of 100x60");
  bad = frame_of(ESR_FORMAT_P010, 200, 120, 0x2000000);
  CHECK_ERROR(checked_frame(bad, "sr"), "sr has 8 bits, not 9..16");
}

bool is_inside(const SteppedPlane<Plane> &chroma, const Area &area) {
  const Plane &plane = chroma.plane;
  for (const std::int32_t y : {0, plane.height - 1}) {
    const auto first = reinterpret_cast<std::uintptr_t>(plane.row(y));
    const std::size_t samples =
        (static_cast<std::size_t>(plane.width) - 1) * static_cast<std::size_t>(chroma.step) + 1;
    if (first < area.begin || first + samples * bytes_of(plane.type) > area.end) return false;
  }
  return true;
}

TEST(hostile_frames_are_refused_or_stay_inside_what_they_declare) {
  constexpr std::array<std::int32_t, 9> kNumbers{
      std::numeric_limits<std::int32_t>::min(), -1, 0, 1, 2, 9, 16384, 65536,
      std::numeric_limits<std::int32_t>::max()};
  constexpr std::array<std::ptrdiff_t, 9> kStrides{std::numeric_limits<std::ptrdiff_t>::min(),
                                                   std::ptrdiff_t{1} << 30,
                                                   -131072,
                                                   -2,
                                                   0,
                                                   2,
                                                   64,
                                                   131072,
                                                   std::numeric_limits<std::ptrdiff_t>::max()};
  constexpr std::array<std::uintptr_t, 5> kAddresses{
      0, 1, 0x7000, std::uintptr_t{1} << 47, std::numeric_limits<std::uintptr_t>::max() - 1};
  Random random(11);
  const auto pick = [&random](const auto &choices) {
    return choices[random.next() % choices.size()];
  };
  int accepted = 0;
  for (int round = 0; round < 200000; ++round) {
    esr_frame frame;
    esr_frame_init(&frame);
    frame.format = random.whole(-1, 6);
    frame.width = pick(kNumbers);
    frame.height = pick(kNumbers);
    frame.bit_depth = random.whole(7, 17);
    frame.chroma_location = random.whole(-1, 4);
    for (int i = 0; i < 3; ++i) {
      frame.data[i] = address(pick(kAddresses));
      frame.stride_bytes[i] = pick(kStrides);
    }
    try {
      const FramePlanes planes = checked_frame(frame, "lr");
      ++accepted;
      CHECK(is_inside({planes.luma, 1}, planes.areas[0]));
      for (int c = 0; c < planes.num_chroma; ++c) {
        CHECK(is_inside(planes.chroma[c], planes.areas[std::min(planes.num_areas - 1, c + 1)]));
      }
    } catch (const Error &error) {
      CHECK_EQ(error.status(), Status::kInvalidArgument);
    }
  }
  CHECK(accepted > 100);
}

}  // namespace

CHECK_MAIN()
