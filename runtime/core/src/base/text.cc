#include "base/text.h"

#include <algorithm>

namespace esr {
namespace {

constexpr std::size_t kLongestShown = 40;

std::uint32_t byte_at(std::string_view text, std::size_t index) {
  return index < text.size() ? static_cast<unsigned char>(text[index]) : 0U;
}

// Bytes of the character at `start`; 0 if there is none.
std::size_t utf8_character(std::string_view text, std::size_t start) {
  const std::uint32_t first = byte_at(text, start);
  if (first < 0x80) return 1;
  const std::size_t length = first < 0xC2   ? 0U
                             : first < 0xE0 ? 2U
                             : first < 0xF0 ? 3U
                             : first < 0xF5 ? 4U
                                            : 0U;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte_at(text, start + i) & 0xC0U) != 0x80U) return 0;
  }
  const std::uint32_t second = byte_at(text, start + 1);
  const bool is_overlong = (first == 0xE0 && second < 0xA0) || (first == 0xF0 && second < 0x90);
  const bool is_surrogate = first == 0xED && second > 0x9F;
  const bool is_beyond = first == 0xF4 && second > 0x8F;
  return is_overlong || is_surrogate || is_beyond ? 0 : length;
}

}  // namespace

std::string shown(std::string_view text) {
  const bool is_long = text.size() > kLongestShown;
  std::string result(is_long ? text.substr(0, kLongestShown - 3) : text);
  for (char &c : result) {
    if (c < ' ' || c > '~') c = '?';
  }
  return is_long ? result + "..." : result;
}

std::size_t valid_utf8_length(std::string_view text) {
  std::size_t position = 0;
  while (position < text.size()) {
    const std::size_t length = utf8_character(text, position);
    if (length == 0) return position;
    position += length;
  }
  return position;
}

std::size_t utf8_count(std::string_view text) {
  const auto is_first = [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; };
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), is_first));
}

void append_utf8(std::uint32_t code, std::string *text) {
  const auto put = [&](std::uint32_t byte) { text->push_back(static_cast<char>(byte)); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xC0U | code >> 6);
    put(0x80U | (code & 0x3FU));
  } else if (code < 0x10000) {
    put(0xE0U | code >> 12);
    put(0x80U | (code >> 6 & 0x3FU));
    put(0x80U | (code & 0x3FU));
  } else {
    put(0xF0U | code >> 18);
    put(0x80U | (code >> 12 & 0x3FU));
    put(0x80U | (code >> 6 & 0x3FU));
    put(0x80U | (code & 0x3FU));
  }
}

}  // namespace esr
