// Opening through the C API: what is logged, what threads see, what a callback may do.
#include <edge_sr/edge_sr.h>

#include <cstring>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "check.h"

namespace {

esr_options options_of(const char *precision, int threads) {
  esr_options options;
  esr_options_init(&options);
  options.precision = precision;
  options.num_threads = threads;
  return options;
}

struct Line {
  esr_log_level level;
  std::string text;
};

void remember(void *user, esr_log_level level, const char *message) {
  static_cast<std::vector<Line> *>(user)->push_back({level, message});
}

TEST(a_precision_that_the_cpu_lacks_is_replaced_and_logged) {
  std::vector<Line> lines;
  esr_options options = options_of("bf16", 1);
  options.log = remember;
  options.log_user = &lines;
  esr_upscaler *upscaler = nullptr;
  CHECK_EQ(esr_upscaler_open(ESR_READY_BUNDLE, &options, &upscaler), ESR_OK);
  esr_info info;
  esr_info_init(&info);
  CHECK_EQ(esr_upscaler_get_info(upscaler, &info), ESR_OK);
  const std::string running = info.precision;
  const bool is_replaced = lines.size() == 2 && lines[0].level == ESR_LOG_WARNING &&
                           lines[0].text.find("running fp32 instead") != std::string::npos;
  CHECK_EQ(running, std::string(is_replaced ? "fp32" : "bf16"));
  CHECK_EQ(info.has_base, 1);
  CHECK(!lines.empty() && lines.back().text.find(running + " on " + info.isa) != std::string::npos);
  esr_upscaler_close(&upscaler);
}

TEST(a_callback_that_throws_ends_in_a_status) {
  esr_options options = options_of("fp32", 2);
  options.log = [](void *, esr_log_level, const char *) { throw std::runtime_error("no room"); };
  esr_upscaler *upscaler = nullptr;
  CHECK_EQ(esr_upscaler_open(ESR_READY_BUNDLE, &options, &upscaler), ESR_ERR_INTERNAL);
  CHECK(upscaler == nullptr);
  CHECK_EQ(std::string(esr_last_error()), std::string("no room"));
}

TEST(each_thread_has_its_own_message) {
  CHECK_EQ(esr_upscaler_open("here.esr", nullptr, nullptr), ESR_ERR_INVALID_ARGUMENT);
  std::string at_start = "unset";
  std::thread other([&at_start] {
    at_start = esr_last_error();
    esr_upscaler *upscaler = nullptr;
    esr_upscaler_open("there.esr", nullptr, &upscaler);
  });
  other.join();
  CHECK_EQ(at_start, std::string());
  CHECK_EQ(std::string(esr_last_error()), std::string("out is NULL"));
}

std::vector<unsigned char> upscaled(const char *precision, int threads) {
  const esr_options options = options_of(precision, threads);
  esr_upscaler *upscaler = nullptr;
  if (esr_upscaler_open(ESR_READY_BUNDLE, &options, &upscaler) != ESR_OK) return {};
  std::vector<unsigned char> in(64 * 48);
  for (std::size_t i = 0; i < in.size(); ++i) in[i] = static_cast<unsigned char>(i * 31 % 253);
  std::vector<unsigned char> out(4 * in.size());
  esr_plane lr;
  esr_plane sr;
  esr_plane_init(&lr);
  lr.data = in.data();
  lr.width = 64;
  lr.height = 48;
  lr.stride_bytes = 64;
  sr = lr;
  sr.data = out.data();
  sr.width = 128;
  sr.height = 96;
  sr.stride_bytes = 128;
  for (int i = 0; i < 3; ++i) CHECK_EQ(esr_upscale_plane(upscaler, &lr, &sr), ESR_OK);
  esr_upscaler_close(&upscaler);
  return out;
}

TEST(upscalers_of_different_threads_are_independent) {
  const std::vector<unsigned char> expected = upscaled("int8", 1);
  std::vector<std::vector<unsigned char>> found(4);
  std::vector<std::thread> threads;
  for (auto &result : found) threads.emplace_back([&result] { result = upscaled("int8", 2); });
  for (std::thread &thread : threads) thread.join();
  for (const auto &result : found) CHECK(result == expected);
}

}  // namespace

CHECK_MAIN()
