#include "base/json.h"

#include <cmath>
#include <locale>
#include <sstream>

#include "base/error.h"
#include "base/text.h"

namespace esr {
namespace {

constexpr int kDeepest = 32;
constexpr std::size_t kLongestNumber = 40;
constexpr std::size_t kLargestText = std::size_t{1} << 20;
// Bounds both memory (a value takes about 130 bytes) and the search for duplicate names.
constexpr std::size_t kMostValues = 16384;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Independent of the process's locale.
double number_from(const std::string &text) {
  std::istringstream stream(text);
  stream.imbue(std::locale::classic());
  double value = 0.0;
  stream >> value;
  return value;
}

[[noreturn]] void wrong_type(const char *what, const char *expected) {
  throw Error(Status::kModelFormat, std::string(what) + " is not " + expected);
}

}  // namespace

class JsonParser {
 public:
  explicit JsonParser(std::string_view text) : text_(text) {}

  Json document() {
    if (text_.size() > kLargestText) fail("the text is longer than 1 MiB");
    position_ = valid_utf8_length(text_);
    if (position_ != text_.size()) fail("not UTF-8");
    position_ = 0;
    Json value = parse_value(0);
    skip_space();
    if (position_ != text_.size()) fail("text after the value");
    return value;
  }

 private:
  [[noreturn]] void fail(const char *why) const {
    throw Error(Status::kModelFormat,
                "not valid JSON at byte " + std::to_string(position_) + ": " + why);
  }

  char peek() const { return position_ < text_.size() ? text_[position_] : '\0'; }

  void skip_space() {
    while (position_ < text_.size() &&
           (peek() == ' ' || peek() == '\n' || peek() == '\r' || peek() == '\t')) {
      ++position_;
    }
  }

  void expect(char c, const char *why) {
    skip_space();
    if (peek() != c) fail(why);
    ++position_;
  }

  bool take(char c) {
    skip_space();
    if (peek() != c) return false;
    ++position_;
    return true;
  }

  bool take_word(std::string_view word) {
    if (text_.substr(position_, word.size()) != word) return false;
    position_ += word.size();
    return true;
  }

  Json parse_value(int depth) {
    if (depth > kDeepest) fail("nested too deep");
    if (++values_ > kMostValues) fail("too many values");
    skip_space();
    Json value;
    if (peek() == '{') {
      parse_object(depth, &value);
    } else if (peek() == '[') {
      parse_array(depth, &value);
    } else if (peek() == '"') {
      value.type_ = Json::Type::kString;
      value.string_ = parse_string();
    } else if (take_word("true") || take_word("false")) {
      value.type_ = Json::Type::kBool;
      value.bool_ = text_[position_ - 2] == 'u';
    } else if (!take_word("null")) {
      value.type_ = Json::Type::kNumber;
      value.number_ = parse_number(&value.is_whole_);
    }
    return value;
  }

  void parse_object(int depth, Json *value) {
    value->type_ = Json::Type::kObject;
    ++position_;
    if (take('}')) return;
    do {
      skip_space();
      if (peek() != '"') fail("a name in quotes is missing");
      std::string name = parse_string();
      if (value->find(name) != nullptr) fail("a name occurs twice");
      expect(':', "a colon is missing");
      value->members_.emplace_back(std::move(name), parse_value(depth + 1));
    } while (take(','));
    expect('}', "a comma or closing brace is missing");
  }

  void parse_array(int depth, Json *value) {
    value->type_ = Json::Type::kArray;
    ++position_;
    if (take(']')) return;
    do {
      value->items_.push_back(parse_value(depth + 1));
    } while (take(','));
    expect(']', "a comma or closing bracket is missing");
  }

  std::string parse_string() {
    ++position_;
    std::string text;
    for (;;) {
      if (position_ >= text_.size()) fail("a string has no end");
      const char c = text_[position_++];
      if (c == '"') return text;
      if (static_cast<unsigned char>(c) < 0x20) fail("a control character in a string");
      if (c == '\\') {
        parse_escape(&text);
      } else {
        text.push_back(c);
      }
    }
  }

  void parse_escape(std::string *text) {
    constexpr std::string_view kNames = "\"\\/bfnrt";
    constexpr std::string_view kMeanings = "\"\\/\b\f\n\r\t";
    const char c = peek();
    ++position_;
    if (c == 'u') return append_utf8(parse_code_point(), text);
    const std::size_t index = kNames.find(c);
    if (c == '\0' || index == std::string_view::npos) fail("an unknown escape");
    text->push_back(kMeanings[index]);
  }

  std::uint32_t parse_code_point() {
    const std::uint32_t high = parse_hex4();
    if (high < 0xD800 || high > 0xDFFF) return high;
    if (high > 0xDBFF || !take_word("\\u")) fail("half of a surrogate pair");
    const std::uint32_t low = parse_hex4();
    if (low < 0xDC00 || low > 0xDFFF) fail("half of a surrogate pair");
    return 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
  }

  std::uint32_t parse_hex4() {
    std::uint32_t code = 0;
    for (int i = 0; i < 4; ++i, ++position_) {
      const char c = peek();
      if (is_digit(c)) {
        code = code * 16 + static_cast<std::uint32_t>(c - '0');
      } else if (c >= 'a' && c <= 'f') {
        code = code * 16 + static_cast<std::uint32_t>(c - 'a' + 10);
      } else if (c >= 'A' && c <= 'F') {
        code = code * 16 + static_cast<std::uint32_t>(c - 'A' + 10);
      } else {
        fail("four hexadecimal digits are missing");
      }
    }
    return code;
  }

  void take_digits() {
    if (!is_digit(peek())) fail("a value is missing or malformed");
    while (is_digit(peek())) ++position_;
  }

  double parse_number(bool *is_whole) {
    const std::size_t start = position_;
    *is_whole = true;
    if (peek() == '-') ++position_;
    const bool starts_with_zero = peek() == '0';
    const std::size_t digits = position_;
    take_digits();
    if (starts_with_zero && position_ - digits > 1) fail("a number starts with 0");
    if (peek() == '.') {
      *is_whole = false;
      ++position_;
      take_digits();
    }
    if (peek() == 'e' || peek() == 'E') {
      *is_whole = false;
      ++position_;
      if (peek() == '+' || peek() == '-') ++position_;
      take_digits();
    }
    if (position_ - start > kLongestNumber) fail("a number is too long");
    const double value = number_from(std::string(text_.substr(start, position_ - start)));
    if (!std::isfinite(value) || std::abs(value) > 1e300) fail("a number is too large");
    return value;
  }

  std::string_view text_;
  std::size_t position_ = 0;
  std::size_t values_ = 0;
};

Json Json::parse(std::string_view text) { return JsonParser(text).document(); }

bool Json::as_bool(const char *what) const {
  if (type_ != Type::kBool) wrong_type(what, "true or false");
  return bool_;
}

double Json::as_number(const char *what) const {
  if (type_ != Type::kNumber) wrong_type(what, "a number");
  return number_;
}

const std::string &Json::as_string(const char *what) const {
  if (type_ != Type::kString) wrong_type(what, "a text");
  return string_;
}

const std::vector<Json> &Json::as_array(const char *what) const {
  if (type_ != Type::kArray) wrong_type(what, "a list");
  return items_;
}

const std::vector<Json::Member> &Json::as_object(const char *what) const {
  if (type_ != Type::kObject) wrong_type(what, "an object");
  return members_;
}

std::int64_t Json::as_integer(const char *what, std::int64_t low, std::int64_t high) const {
  const double value = as_number(what);
  // Doubles hold whole numbers up to 2^53 exactly; limits beyond are not asked for.
  if (!is_whole_ || value < static_cast<double>(low) || value > static_cast<double>(high)) {
    std::ostringstream shown;
    shown << what << " " << value << " is not a whole number in " << low << ".." << high;
    throw Error(Status::kModelFormat, shown.str());
  }
  return static_cast<std::int64_t>(value);
}

const Json *Json::find(std::string_view name) const noexcept {
  for (const Member &member : members_) {
    if (member.first == name) return &member.second;
  }
  return nullptr;
}

const Json &Json::at(const char *name) const {
  const Json *value = find(name);
  if (value == nullptr) throw Error(Status::kModelFormat, std::string(name) + " is missing");
  return *value;
}

}  // namespace esr
