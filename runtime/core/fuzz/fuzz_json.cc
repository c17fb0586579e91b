// The JSON reader: any bytes are a value or an Error.
#include <string_view>

#include "base/error.h"
#include "base/json.h"
#include "base/text.h"
#include "fuzz_target.h"

namespace {

using esr::Json;

std::size_t count_values(const Json &value) {
  std::size_t count = 1;
  if (value.is(Json::Type::kArray)) {
    for (const Json &item : value.as_array("a list")) count += count_values(item);
  }
  if (value.is(Json::Type::kObject)) {
    for (const Json::Member &member : value.as_object("an object")) {
      require_law(value.find(member.first) == &member.second, "every name finds its value");
      count += count_values(member.second);
    }
  }
  if (value.is(Json::Type::kString)) {
    const std::string &text = value.as_string("a text");
    require_law(esr::valid_utf8_length(text) == text.size(), "texts are UTF-8");
  }
  if (value.is(Json::Type::kNumber)) {
    const double number = value.as_number("a number");
    require_law(number >= -1e300 && number <= 1e300, "numbers are finite and bounded");
  }
  return count;
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
  try {
    const Json value = Json::parse({reinterpret_cast<const char *>(data), size});
    require_law(count_values(value) <= 16384, "values are bounded");
  } catch (const esr::Error &error) {
    require_law(error.status() == esr::Status::kModelFormat, "refused as malformed");
  }
  return 0;
}
