// A small strict JSON reader for manifests and file headers.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace esr {

class Json {
 public:
  enum class Type : std::uint8_t { kNull, kBool, kNumber, kString, kArray, kObject };
  using Member = std::pair<std::string, Json>;

  // The whole text must be one value of RFC 8259 in UTF-8, without duplicate names, of at most
  // 1 MiB, 32 levels and 16384 values. Throws Error(kModelFormat) naming the byte where it went
  // wrong.
  static Json parse(std::string_view text);

  Type type() const noexcept { return type_; }
  bool is(Type type) const noexcept { return type_ == type; }

  // The following throw Error(kModelFormat) that names `what` if the value is of another type.
  bool as_bool(const char *what) const;
  double as_number(const char *what) const;
  const std::string &as_string(const char *what) const;
  const std::vector<Json> &as_array(const char *what) const;
  const std::vector<Member> &as_object(const char *what) const;

  // A number in low..high that is written without a point or exponent.
  std::int64_t as_integer(const char *what, std::int64_t low, std::int64_t high) const;

  // Member of an object; null if absent.
  const Json *find(std::string_view name) const noexcept;
  // Member of an object; throws Error(kModelFormat) if absent.
  const Json &at(const char *name) const;

 private:
  friend class JsonParser;

  Type type_ = Type::kNull;
  bool bool_ = false;
  bool is_whole_ = false;  // of a number: neither point nor exponent
  double number_ = 0.0;
  std::string string_;
  std::vector<Json> items_;
  std::vector<Member> members_;
};

}  // namespace esr
