#include "base/json_text.h"

#include <string>

#include "base/json.h"
#include "check.h"

namespace {

using esr::canonical_json;
using esr::Json;
using esr::json_quoted;

TEST(texts_are_ascii_in_quotes) {
  CHECK_EQ(json_quoted("plain 1.0"), std::string("\"plain 1.0\""));
  CHECK_EQ(json_quoted("a\"b\\c\n\t\x01\x7f"), std::string("\"a\\\"b\\\\c\\n\\t\\u0001\\u007f\""));
  CHECK_EQ(json_quoted("\xc3\xa9\xe2\x82\xac"), std::string("\"\\u00e9\\u20ac\""));
  CHECK_EQ(json_quoted("\xf0\x9f\x98\x80"), std::string("\"\\ud83d\\ude00\""));
}

TEST(a_text_that_is_no_utf8_is_shown) { CHECK_EQ(json_quoted("a\xff"), std::string("\"a?\"")); }

TEST(equal_values_have_equal_texts) {
  const std::string text = "{ \"b\": [1, -2, true , null], \"a b\": {}, \"a\" : \"\\u00e9\" }";
  CHECK_EQ(canonical_json(Json::parse(text)),
           std::string("{\"a\":\"\\u00e9\",\"a b\":{},\"b\":[1,-2,true,null]}"));
}

TEST(a_fraction_has_no_canonical_text) {
  CHECK_ERROR(canonical_json(Json::parse("[0.5]")), "is not a whole number");
}

}  // namespace

CHECK_MAIN()
