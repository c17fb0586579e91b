// An upscaler of the ready bundle, and planes for it, through the C API.
#pragma once

#include <edge_sr/edge_sr.h>

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "check.h"

// Appends a line to the std::string that is the user's pointer.
inline void remember(void *user, esr_log_level level, const char *message) {
  *static_cast<std::string *>(user) +=
      (level == ESR_LOG_WARNING ? "warning: " : "info: ") + std::string(message) + "\n";
}

inline esr_options options_of(const char *device, const char *precision,
                              std::string *log = nullptr) {
  esr_options options;
  esr_options_init(&options);
  options.device = device;
  options.precision = precision;
  options.num_threads = 2;
  options.log = log != nullptr ? remember : nullptr;
  options.log_user = log;
  return options;
}

// Closes itself.
class Upscaler {
 public:
  Upscaler(const char *device, const char *precision, std::string *log = nullptr,
           const char *bundle = ESR_READY_BUNDLE) {
    const esr_options options = options_of(device, precision, log);
    CHECK_EQ(esr_upscaler_open(bundle, &options, &handle_), ESR_OK);
    if (handle_ == nullptr) throw std::runtime_error(esr_last_error());
  }
  ~Upscaler() { esr_upscaler_close(&handle_); }
  Upscaler(const Upscaler &) = delete;
  Upscaler &operator=(const Upscaler &) = delete;
  esr_upscaler *get() const { return handle_; }

 private:
  esr_upscaler *handle_ = nullptr;
};

// The message of an opening that must fail.
inline std::string refusal(const char *device, const char *precision, esr_status expected,
                           const char *bundle = ESR_READY_BUNDLE) {
  const esr_options options = options_of(device, precision);
  esr_upscaler *upscaler = nullptr;
  CHECK_EQ(esr_upscaler_open(bundle, &options, &upscaler), expected);
  CHECK(upscaler == nullptr);
  return esr_last_error();
}

inline bool has(const std::string &text, const char *part) {
  return text.find(part) != std::string::npos;
}

inline std::vector<std::uint8_t> samples(std::size_t count) {
  std::vector<std::uint8_t> result(count);
  for (std::size_t i = 0; i < count; ++i) result[i] = static_cast<std::uint8_t>(i * i / 9 % 253);
  return result;
}

inline esr_plane plane_of(const void *data, int width, int height) {
  esr_plane plane;
  esr_plane_init(&plane);
  plane.data = const_cast<void *>(data);
  plane.width = width;
  plane.height = height;
  plane.stride_bytes = width;
  return plane;
}

// The planes of a YUV 4:4:4 frame of 32x16 samples, upscaled, one behind the other.
inline std::vector<std::uint8_t> upscaled_frame(const Upscaler &upscaler) {
  const std::vector<std::uint8_t> in = samples(3 * 32 * 16);
  std::vector<std::uint8_t> out(in.size() * 4);
  esr_frame lr;
  esr_frame_init(&lr);
  lr.format = ESR_FORMAT_YUV444P;
  lr.width = 32;
  lr.height = 16;
  esr_frame sr = lr;
  sr.width *= 2;
  sr.height *= 2;
  for (int p = 0; p < 3; ++p) {
    lr.data[p] = const_cast<std::uint8_t *>(in.data()) + p * 32 * 16;
    lr.stride_bytes[p] = 32;
    sr.data[p] = out.data() + p * 64 * 32;
    sr.stride_bytes[p] = 64;
  }
  CHECK_EQ(esr_upscale_frame(upscaler.get(), &lr, &sr), ESR_OK);
  return out;
}
