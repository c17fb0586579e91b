// Device cuda through the C API: the plugin on an emulated GPU beside this program.
#include <edge_sr/edge_sr.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "check.h"
#include "opened_upscaler.h"

namespace {

constexpr int kWidth = 37;
constexpr int kHeight = 22;

int largest_difference(const std::vector<std::uint8_t> &a, const std::vector<std::uint8_t> &b) {
  int largest = a.size() == b.size() ? 0 : 999;
  for (std::size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(a[i] - b[i]));
  return largest;
}

std::vector<std::uint8_t> upscaled(const Upscaler &upscaler, int width, int height) {
  std::vector<std::uint8_t> in = samples(static_cast<std::size_t>(width * height));
  std::vector<std::uint8_t> out(in.size() * 4);
  const esr_plane lr = plane_of(in.data(), width, height);
  const esr_plane sr = plane_of(out.data(), 2 * width, 2 * height);
  CHECK_EQ(esr_upscale_plane(upscaler.get(), &lr, &sr), ESR_OK);
  return out;
}

TEST(info_tells_device_and_precision) {
  for (const char *precision : {static_cast<const char *>(nullptr), "fp16"}) {
    const Upscaler upscaler("cuda", precision);
    esr_info info;
    esr_info_init(&info);
    CHECK_EQ(esr_upscaler_get_info(upscaler.get(), &info), ESR_OK);
    CHECK_EQ(std::string(info.device), std::string("cuda"));
    CHECK_EQ(std::string(info.isa), std::string("sm_87"));
    CHECK_EQ(std::string(info.precision), std::string("fp16"));
    CHECK_EQ(info.scale, 2);
    CHECK_EQ(info.receptive_field_radius, 8);
  }
}

TEST(planes_of_changing_size_are_near_those_of_the_cpu) {
  const Upscaler cuda("cuda:0", nullptr);
  const Upscaler cpu("cpu", "fp32");
  for (const auto &size : {std::pair{kWidth, kHeight}, {9, 30}, {kWidth, kHeight}}) {
    const auto found = upscaled(cuda, size.first, size.second);
    CHECK(largest_difference(found, upscaled(cpu, size.first, size.second)) <= 1);
  }
}

// A frame recorded for bytes does not serve words; the bottom row first, with room between rows.
TEST(sample_types_and_rows_take_turns) {
  const Upscaler cuda("cuda", nullptr);
  const Upscaler cpu("cpu", "fp32");
  constexpr int kPitch = 2 * kWidth + 3;
  for (int turn = 0; turn < 2; ++turn) {
    const auto bytes = upscaled(cuda, kWidth, kHeight);
    CHECK(largest_difference(bytes, upscaled(cpu, kWidth, kHeight)) <= 1);
    std::vector<std::uint16_t> in(kWidth * kHeight);
    for (std::size_t i = 0; i < in.size(); ++i) in[i] = static_cast<std::uint16_t>(i * 7 % 1021);
    std::vector<std::uint16_t> out[2];
    for (int i = 0; i < 2; ++i) {
      out[i].assign(2 * kHeight * kPitch, 7);
      esr_plane lr;
      esr_plane_init(&lr);
      lr.data = in.data() + (kHeight - 1) * kWidth;
      lr.width = kWidth;
      lr.height = kHeight;
      lr.stride_bytes = -2 * kWidth;
      lr.sample_type = ESR_SAMPLE_UINT16;
      lr.bit_depth = 10;
      esr_plane sr = lr;
      sr.data = out[i].data();
      sr.width *= 2;
      sr.height *= 2;
      sr.stride_bytes = 2 * kPitch;
      CHECK_EQ(esr_upscale_plane(i == 0 ? cuda.get() : cpu.get(), &lr, &sr), ESR_OK);
    }
    int largest = 0;
    for (std::size_t i = 0; i < out[0].size(); ++i) {
      largest = std::max(largest, std::abs(out[0][i] - out[1][i]));
    }
    CHECK(largest <= 4);
  }
}

TEST(frames_have_their_chroma) {
  const std::vector<std::uint8_t> cuda = upscaled_frame(Upscaler("cuda", nullptr));
  const std::vector<std::uint8_t> cpu = upscaled_frame(Upscaler(nullptr, "fp32"));
  CHECK(largest_difference(cuda, cpu) <= 1);
  CHECK(std::memcmp(cuda.data() + 64 * 32, cpu.data() + 64 * 32, 2 * 64 * 32) == 0);
}

TEST(device_planes_are_for_device_cuda) {
  std::vector<std::uint8_t> in = samples(kWidth * kHeight);
  std::vector<std::uint8_t> out(in.size() * 4);
  const esr_plane lr = plane_of(in.data(), kWidth, kHeight);
  const esr_plane sr = plane_of(out.data(), 2 * kWidth, 2 * kHeight);
  const Upscaler cuda("cuda", nullptr);
  CHECK_EQ(esr_upscale_device_plane(cuda.get(), &lr, &sr, nullptr), ESR_OK);
  CHECK(out == upscaled(cuda, kWidth, kHeight));
  const Upscaler cpu("cpu", nullptr);
  CHECK_EQ(esr_upscale_device_plane(cpu.get(), &lr, &sr, nullptr), ESR_ERR_UNSUPPORTED);
}

TEST(what_it_does_not_run_is_refused) {
  CHECK(has(refusal("cuda", "int8", ESR_ERR_UNSUPPORTED), "runs fp16, not int8"));
  CHECK(
      has(refusal("cuda:1", nullptr, ESR_ERR_UNSUPPORTED), "not offered: invalid device ordinal"));
  CHECK(has(refusal("cuda:x", nullptr, ESR_ERR_INVALID_ARGUMENT), "device cuda:x is not"));
  CHECK(has(refusal("gpu", nullptr, ESR_ERR_INVALID_ARGUMENT), "device gpu is not"));
  CHECK(has(refusal("cpu", "fp16", ESR_ERR_UNSUPPORTED), "or device cuda"));
}

// What a program hands over that was compiled with the first version of the header.
TEST(structs_of_the_first_version_are_accepted) {
  esr_options options;
  std::memset(static_cast<void *>(&options), 0x55, sizeof(options));
  (esr_options_init)(&options);
  CHECK_EQ(options.struct_size, offsetof(esr_options, device));
  options.num_threads = 1;
  esr_upscaler *upscaler = nullptr;
  CHECK_EQ(esr_upscaler_open(ESR_READY_BUNDLE, &options, &upscaler), ESR_OK);
  esr_info info;
  std::memset(static_cast<void *>(&info), 0x55, sizeof(info));
  (esr_info_init)(&info);
  CHECK_EQ(esr_upscaler_get_info(upscaler, &info), ESR_OK);
  CHECK_EQ(std::string(info.precision), std::string("int8"));
  CHECK_EQ(reinterpret_cast<std::uintptr_t>(info.device), std::uintptr_t{0x5555555555555555});
  esr_upscaler_close(&upscaler);
}

}  // namespace

CHECK_MAIN()
