// TensorRT's side of an error: what it logged last.
#pragma once

#include <mutex>
#include <string>

#include "backends/plugin.h"
#include "backends/tensorrt/versions.h"

namespace esr::tensorrt {

struct Refusal {
  PluginStatus status;
  std::string text;
};

// Keeps the last error; other lines are dropped. TensorRT logs from threads of its own, and keeps
// the first logger that it gets for all that follows: there is one, which is never destroyed. So
// two upscalers that fail at the same moment may tell each other's reason.
class Logger final : public nvinfer1::ILogger {
 public:
  static Logger &only() {
    static Logger *const logger = new Logger;
    return *logger;
  }

  void log(Severity severity, const char *text) noexcept override {
    if (severity > Severity::kERROR) return;
    try {
      const std::lock_guard<std::mutex> guard(mutex_);
      last_error_ = text;
    } catch (...) {
      // Without memory the error before remains.
    }
  }

  // Before a call, so that an error of an earlier one is not the reason of its failure.
  void forget() {
    const std::lock_guard<std::mutex> guard(mutex_);
    last_error_.clear();
  }

  std::string last_error() {
    const std::lock_guard<std::mutex> guard(mutex_);
    return last_error_.empty() ? "it gives no reason" : last_error_;
  }

 private:
  std::mutex mutex_;
  std::string last_error_;
};

[[noreturn]] inline void refuse(PluginStatus status, const std::string &what) {
  throw Refusal{status, what + ": " + Logger::only().last_error()};
}

// What TensorRT makes is there, or it is refused.
template <class Made>
Made *required(Made *made, const char *what, PluginStatus status = PluginStatus::kFailed) {
  if (made == nullptr) refuse(status, what);
  return made;
}

inline void require(bool is_done, const char *what) {
  if (!is_done) refuse(PluginStatus::kFailed, what);
}

}  // namespace esr::tensorrt
