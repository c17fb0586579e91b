#include "base/json_text.h"

#include <cstdint>
#include <map>

#include "base/text.h"

namespace esr {
namespace {

constexpr std::int64_t kLargestWhole = std::int64_t{1} << 53;

void append_hex4(std::uint32_t unit, std::string *text) {
  constexpr char kDigits[] = "0123456789abcdef";
  text->append("\\u");
  for (int shift = 12; shift >= 0; shift -= 4) text->push_back(kDigits[unit >> shift & 15U]);
}

void append_escaped(std::uint32_t code, std::string *text) {
  if (code < 0x10000) return append_hex4(code, text);
  append_hex4(0xD800 + ((code - 0x10000) >> 10), text);
  append_hex4(0xDC00 + ((code - 0x10000) & 0x3FFU), text);
}

// Of valid UTF-8; moves `position` behind the character.
std::uint32_t next_character(std::string_view text, std::size_t *position) {
  const auto byte = [&] { return static_cast<unsigned char>(text[(*position)++]); };
  const std::uint32_t first = byte();
  if (first < 0x80) return first;
  const int following = first < 0xE0 ? 1 : first < 0xF0 ? 2 : 3;
  std::uint32_t code = first & (0x3FU >> following);
  for (int i = 0; i < following; ++i) code = code << 6 | (byte() & 0x3FU);
  return code;
}

void append_character(std::uint32_t code, std::string *text) {
  constexpr std::string_view kMeanings = "\"\\\b\f\n\r\t";
  constexpr std::string_view kNames = "\"\\bfnrt";
  const std::size_t index =
      code < 0x80 ? kMeanings.find(static_cast<char>(code)) : std::string_view::npos;
  if (index != std::string_view::npos) {
    text->push_back('\\');
    text->push_back(kNames[index]);
  } else if (code >= 0x20 && code < 0x7F) {
    text->push_back(static_cast<char>(code));
  } else {
    append_escaped(code, text);
  }
}

std::string joined(char open, const std::string &items, char close) { return open + items + close; }

}  // namespace

std::string json_quoted(std::string_view text) {
  const std::string printable =
      valid_utf8_length(text) == text.size() ? std::string(text) : shown(text);
  std::string quoted;
  for (std::size_t position = 0; position < printable.size();) {
    append_character(next_character(printable, &position), &quoted);
  }
  return joined('"', quoted, '"');
}

std::string canonical_json(const Json &value) {
  std::string items;
  switch (value.type()) {
    case Json::Type::kNull:
      return "null";
    case Json::Type::kBool:
      return value.as_bool("value") ? "true" : "false";
    case Json::Type::kNumber:
      return std::to_string(value.as_integer("value", -kLargestWhole, kLargestWhole));
    case Json::Type::kString:
      return json_quoted(value.as_string("value"));
    case Json::Type::kArray:
      for (const Json &item : value.as_array("value")) {
        items += (items.empty() ? "" : ",") + canonical_json(item);
      }
      return joined('[', items, ']');
    case Json::Type::kObject:
      break;
  }
  std::map<std::string, std::string> members;
  for (const Json::Member &member : value.as_object("value")) {
    members[member.first] = canonical_json(member.second);
  }
  for (const auto &[name, text] : members) {
    items += (items.empty() ? "" : ",") + json_quoted(name) + ":" + text;
  }
  return joined('{', items, '}');
}

}  // namespace esr
