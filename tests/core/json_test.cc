#include "base/json.h"

#include <string>

#include "base/text.h"
#include "check.h"

using esr::Json;

namespace {

std::string repeated(const char *text, int count) {
  std::string all;
  for (int i = 0; i < count; ++i) all += text;
  return all;
}

}  // namespace

TEST(values_of_every_type_are_read) {
  const Json value = Json::parse(
      " {\"n\": null, \"t\": true, \"f\": false, \"i\": -12, \"d\": 2.5e-1,\r\n\t\"s\": \"x\", "
      "\"a\": [1, [], {}]} ");
  CHECK(value.at("n").is(Json::Type::kNull));
  CHECK_EQ(value.at("t").as_bool("t"), true);
  CHECK_EQ(value.at("f").as_bool("f"), false);
  CHECK_EQ(value.at("i").as_integer("i", -12, 0), -12);
  CHECK_EQ(value.at("d").as_number("d"), 0.25);
  CHECK_EQ(value.at("s").as_string("s"), "x");
  CHECK_EQ(value.at("a").as_array("a").size(), 3U);
  CHECK_EQ(value.as_object("all").size(), 7U);
  CHECK(value.find("missing") == nullptr);
}

TEST(numbers_are_read_exactly) {
  CHECK_EQ(Json::parse("0").as_number("n"), 0.0);
  CHECK_EQ(Json::parse("-0").as_integer("n", 0, 0), 0);
  CHECK_EQ(Json::parse("9007199254740992").as_number("n"), 9007199254740992.0);
  CHECK_EQ(Json::parse("0.1").as_number("n"), 0.1);
  CHECK_EQ(Json::parse("1E+2").as_number("n"), 100.0);
  CHECK_EQ(Json::parse("1e-400").as_number("n"), 0.0);
}

TEST(malformed_numbers_are_refused) {
  for (const char *text : {"01", "-", "+1", "1.", ".5", "1e", "1e+", "0x1", "NaN", "Infinity"}) {
    CHECK_ERROR(Json::parse(text), "not valid JSON at byte");
  }
  CHECK_ERROR(Json::parse("1e301"), "a number is too large");
  CHECK_ERROR(Json::parse("-1e999"), "a number is too large");
  CHECK_ERROR(Json::parse(repeated("1", 41)), "a number is too long");
}

TEST(whole_numbers_are_bounded) {
  CHECK_EQ(Json::parse("4").as_integer("scale", 2, 4), 4);
  CHECK_ERROR(Json::parse("5").as_integer("scale", 2, 4), "scale 5 is not a whole number in 2..4");
  CHECK_ERROR(Json::parse("-1e300").as_integer("scale", 2, 4), "scale -1e+300 is not a whole");
  CHECK_ERROR(Json::parse("2.5").as_integer("scale", 2, 4), "scale 2.5 is not a whole number");
  // As Python's reader of the same manifest sees them.
  CHECK_ERROR(Json::parse("3.0").as_integer("scale", 2, 4), "is not a whole number in 2..4");
  CHECK_ERROR(Json::parse("3e0").as_integer("scale", 2, 4), "is not a whole number in 2..4");
}

TEST(escapes_become_utf8) {
  CHECK_EQ(Json::parse("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"").as_string("s"), "\"\\/\b\f\n\r\t");
  CHECK_EQ(Json::parse("\"\\u0041\\u00e9\\u20AC\"").as_string("s"), "A\xC3\xA9\xE2\x82\xAC");
  CHECK_EQ(Json::parse("\"\\ud83d\\ude00\"").as_string("s"), "\xF0\x9F\x98\x80");
  CHECK_EQ(Json::parse("\"\\u0000\"").as_string("s"), std::string(1, '\0'));
}

TEST(malformed_strings_are_refused) {
  CHECK_ERROR(Json::parse("\"a"), "a string has no end");
  CHECK_ERROR(Json::parse("\"a\\"), "an unknown escape");
  CHECK_ERROR(Json::parse("\"\\x\""), "an unknown escape");
  CHECK_ERROR(Json::parse("\"\\u12g4\""), "four hexadecimal digits are missing");
  CHECK_ERROR(Json::parse("\"\\ud83d\""), "half of a surrogate pair");
  CHECK_ERROR(Json::parse("\"\\ud83d\\u0041\""), "half of a surrogate pair");
  CHECK_ERROR(Json::parse("\"\\ude00\""), "half of a surrogate pair");
  CHECK_ERROR(Json::parse("\"a\nb\""), "a control character in a string");
  CHECK_ERROR(Json::parse(std::string("\"a\0b\"", 5)), "a control character in a string");
}

TEST(text_that_is_not_utf8_is_refused_with_its_place) {
  CHECK_EQ(Json::parse("\"\xC3\xA9\"").as_string("s"), "\xC3\xA9");
  for (const char *text : {"\"\xFF\"", "\"\xC3\"", "\"\xC0\x80\"", "\"\xE0\x80\x80\"",
                           "\"\xED\xA0\x80\"", "\"\xF4\x90\x80\x80\"", "\"\xF0\x80\x80\x80\""}) {
    CHECK_ERROR(Json::parse(text), "not valid JSON at byte 1: not UTF-8");
  }
}

TEST(malformed_structure_is_refused) {
  CHECK_ERROR(Json::parse(""), "a value is missing or malformed");
  CHECK_ERROR(Json::parse("[1,]"), "a value is missing or malformed");
  CHECK_ERROR(Json::parse("[1 2]"), "a comma or closing bracket is missing");
  CHECK_ERROR(Json::parse("[1"), "a comma or closing bracket is missing");
  CHECK_ERROR(Json::parse("{\"a\" 1}"), "a colon is missing");
  CHECK_ERROR(Json::parse("{a: 1}"), "a name in quotes is missing");
  CHECK_ERROR(Json::parse("{\"a\": 1,}"), "a name in quotes is missing");
  CHECK_ERROR(Json::parse("{\"a\": 1"), "a comma or closing brace is missing");
  CHECK_ERROR(Json::parse("{} {}"), "at byte 3: text after the value");
  CHECK_ERROR(Json::parse("nul"), "a value is missing or malformed");
  CHECK_ERROR(Json::parse("truefalse"), "text after the value");
}

TEST(duplicate_names_are_refused) {
  CHECK_ERROR(Json::parse("{\"a\": 1, \"b\": 2, \"a\": 3}"), "a name occurs twice");
  CHECK_ERROR(Json::parse("{\"a\": 1, \"\\u0061\": 3}"), "a name occurs twice");
}

TEST(depth_is_bounded) {
  const std::string deepest = repeated("[", 32) + "1" + repeated("]", 32);
  CHECK(Json::parse(deepest).is(Json::Type::kArray));
  CHECK_ERROR(Json::parse("[" + deepest + "]"), "nested too deep");
  CHECK_ERROR(Json::parse(repeated("[", 100000)), "nested too deep");
  CHECK_ERROR(Json::parse(repeated("{\"a\":", 100000)), "nested too deep");
}

TEST(size_and_number_of_values_are_bounded) {
  const std::string most = "[1" + repeated(",1", 16382) + "]";
  CHECK_EQ(Json::parse(most).as_array("all").size(), 16383U);
  CHECK_ERROR(Json::parse("[1" + repeated(",1", 16383) + "]"), "too many values");
  CHECK_ERROR(Json::parse("\"" + std::string(1 << 20, 'a') + "\""), "longer than 1 MiB");
}

TEST(wrong_types_are_named) {
  const Json value = Json::parse("{\"a\": 1}");
  CHECK_ERROR(value.at("a").as_string("model"), "model is not a text");
  CHECK_ERROR(value.at("a").as_bool("int8"), "int8 is not true or false");
  CHECK_ERROR(value.at("a").as_array("layers"), "layers is not a list");
  CHECK_ERROR(value.at("a").as_object("files"), "files is not an object");
  CHECK_ERROR(value.as_number("scale"), "scale is not a number");
  CHECK_ERROR(value.at("b"), "b is missing");
  CHECK_ERROR(value.at("a").at("b"), "b is missing");
}

TEST(texts_from_outside_are_made_fit_for_a_message) {
  CHECK_EQ(esr::shown("model.native"), "model.native");
  CHECK_EQ(esr::shown("a\nb\xC3\xA9\x7F"), "a?b???");
  CHECK_EQ(esr::shown(std::string(40, 'a')), std::string(40, 'a'));
  CHECK_EQ(esr::shown(std::string(41, 'a')), std::string(37, 'a') + "...");
}

CHECK_MAIN()
