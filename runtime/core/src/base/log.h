// Lines for the caller of the C API.
#pragma once

#include <functional>
#include <string>

namespace esr {

// Values equal the esr_log_level enumerators of edge_sr.h (checked in upscaler.cc).
enum class LogLevel : int { kInfo = 1, kWarning = 2 };

// Never empty; a caller that wants no lines gets a function that drops them.
using Log = std::function<void(LogLevel, const std::string &)>;

}  // namespace esr
