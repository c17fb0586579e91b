// Text from outside: as UTF-8, and fit for a message.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace esr {

// At most 40 printable ASCII characters; others become '?', a longer text ends in "...".
std::string shown(std::string_view text);

// Bytes up to the first that no UTF-8 text has there (RFC 3629: no overlong forms, no surrogates).
std::size_t valid_utf8_length(std::string_view text);

// Characters of a valid UTF-8 text.
std::size_t utf8_count(std::string_view text);

// `code` is a Unicode scalar value.
void append_utf8(std::uint32_t code, std::string *text);

}  // namespace esr
