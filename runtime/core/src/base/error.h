// The one exception type of the core; the C API turns it into a status and a message.
#pragma once

#include <stdexcept>
#include <string>

namespace esr {

// Values equal the esr_status enumerators of edge_sr.h (checked in c_api.cc).
enum class Status : int {
  kOk = 0,
  kInvalidArgument = 1,
  kIo = 2,
  kModelFormat = 3,
  kUnsupported = 4,
  kBackend = 5,
  kOutOfMemory = 6,
  kInternal = 7,
};

class Error : public std::runtime_error {
 public:
  Error(Status status, const std::string &message) : std::runtime_error(message), status_(status) {}
  Status status() const noexcept { return status_; }

 private:
  Status status_;
};

}  // namespace esr
