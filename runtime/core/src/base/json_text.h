// JSON as text, letter for letter what Python's json.dumps writes of the same values.
#pragma once

#include <string>
#include <string_view>

#include "base/json.h"

namespace esr {

// A text in quotes, in ASCII alone.
std::string json_quoted(std::string_view text);

// Without spaces and with sorted names, so that equal values have equal texts. Throws
// Error(kModelFormat) for a number that is not whole.
std::string canonical_json(const Json &value);

}  // namespace esr
