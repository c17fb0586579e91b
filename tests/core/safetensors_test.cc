#include "base/safetensors.h"

#include <cmath>
#include <limits>
#include <string>

#include "check.h"
#include "safetensors_writer.h"

using esr::SafeTensors;

namespace {

SafeTensors read(const Bytes &file) { return SafeTensors(file.data(), file.size()); }

// One tensor "t" with these facts over 24 bytes of data.
Bytes file_with(const std::string &dtype, const std::string &shape, const std::string &offsets) {
  return file_of(
      "{\"t\":{\"dtype\":" + dtype + ",\"shape\":" + shape + ",\"data_offsets\":" + offsets + "}}",
      Bytes(24));
}

std::string entry(const std::string &name, int begin, int end) {
  return "\"" + name + "\":{\"dtype\":\"I8\",\"shape\":[" + std::to_string(end - begin) +
         "],\"data_offsets\":[" + std::to_string(begin) + "," + std::to_string(end) + "]}";
}

Bytes two_tensors(const std::string &first, const std::string &second) {
  return file_of("{" + first + "," + second + "}", Bytes(8));
}

}  // namespace

TEST(values_shapes_and_metadata_are_read) {
  SafeTensorsWriter writer;
  writer.add_metadata("format", "x");
  writer.add("f", "[2,1,3]", std::vector<float>{1, 2, 3, 4, 5, -6.5F});
  writer.add("i", "[4]", std::vector<std::int8_t>{-128, -1, 0, 127});
  writer.add("scalar", "[]", std::vector<float>{9});
  const Bytes file = writer.file();
  const SafeTensors tensors = read(file);
  CHECK_EQ(tensors.count(), 3U);
  CHECK_EQ(tensors.metadata().at("format"), "x");
  CHECK(tensors.contains("f"));
  CHECK(!tensors.contains("g"));
  CHECK_EQ(tensors.floats("f", {2, 1, 3})[5], -6.5F);
  CHECK_EQ(tensors.floats("scalar", {})[0], 9.0F);
  CHECK_EQ(tensors.bytes("i", {4})[0], -128);
}

// The header's length is not a multiple of 4 here, nor is the buffer aligned.
TEST(floats_are_read_from_any_address) {
  SafeTensorsWriter writer;
  writer.add("i", "[1]", std::vector<std::int8_t>{1});
  writer.add("f", "[2]", std::vector<float>{0.5F, -3.0F});
  const Bytes file = writer.file();
  for (std::size_t shift = 0; shift < 4; ++shift) {
    Bytes moved(shift);
    moved.insert(moved.end(), file.begin(), file.end());
    const SafeTensors tensors(moved.data() + shift, file.size());
    CHECK_EQ(tensors.floats("f", {2})[1], -3.0F);
  }
}

TEST(file_without_tensors_is_read) { CHECK_EQ(read(file_of("{}", {})).count(), 0U); }

TEST(every_cut_is_refused) {
  SafeTensorsWriter writer;
  writer.add("f", "[2]", std::vector<float>{1, 2});
  const Bytes file = writer.file();
  for (std::size_t size = 0; size < file.size(); ++size) {
    // A buffer of its own, so that a sanitizer sees a read past the cut.
    const Bytes cut(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(size));
    CHECK_ERROR(read(cut), "");
  }
  CHECK_ERROR(read(Bytes(7)), "a file of 7 bytes is no safetensors file");
  CHECK_ERROR(SafeTensors(nullptr, 0), "a file of 0 bytes is no safetensors file");
}

TEST(header_length_is_bounded) {
  Bytes file(64, 0xFF);
  CHECK_ERROR(read(file), "a header of 18446744073709551615 bytes does not fit into 64 bytes");
  file = file_of(std::string((1 << 20) + 1, ' '), {});
  CHECK_ERROR(read(file), "a header of 1048577 bytes does not fit");
}

TEST(header_must_be_an_object_of_tensors) {
  CHECK_ERROR(read(file_of("[]", {})), "the header is not an object");
  CHECK_ERROR(read(file_of("{\"t\":1}", {})), "dtype is missing");
  CHECK_ERROR(read(file_of("{\"__metadata__\":1}", {})), "__metadata__ is not an object");
  CHECK_ERROR(read(file_of("{\"__metadata__\":{\"a\":1}}", {})), "a metadata value is not a text");
  CHECK_ERROR(read(file_of("{", {})), "not valid JSON");
}

TEST(duplicate_tensors_are_refused) {
  CHECK_ERROR(read(two_tensors(entry("t", 0, 4), entry("t", 4, 8))), "a name occurs twice");
}

TEST(other_types_are_refused) {
  CHECK_ERROR(read(file_with("\"F64\"", "[3]", "[0,24]")), "tensor t is F64, not F32 or I8");
  CHECK_ERROR(read(file_with("\"\\n\\u00e9\"", "[3]", "[0,24]")), "tensor t is ???, not F32");
  CHECK_ERROR(read(file_with("7", "[3]", "[0,24]")), "dtype is not a text");
}

TEST(shapes_are_bounded) {
  CHECK_EQ(read(file_with("\"F32\"", "[1,2,1,3]", "[0,24]")).count(), 1U);
  CHECK_ERROR(read(file_with("\"F32\"", "[1,1,1,2,3]", "[0,24]")), "more than 4 dimensions");
  CHECK_ERROR(read(file_with("\"F32\"", "[0]", "[0,0]")), "a side of a shape 0 is not a whole");
  CHECK_ERROR(read(file_with("\"F32\"", "[-6]", "[0,24]")), "a side of a shape -6");
  CHECK_ERROR(read(file_with("\"F32\"", "[1.5]", "[0,24]")), "a side of a shape 1.5");
  CHECK_ERROR(read(file_with("\"F32\"", "[16777217]", "[0,24]")), "a side of a shape");
  CHECK_ERROR(read(file_with("\"F32\"", "\"6\"", "[0,24]")), "shape is not a list");
}

TEST(shapes_whose_product_overflows_are_refused) {
  const std::string largest = "[16777216,16777216,16777216,16777216]";
  CHECK_ERROR(read(file_with("\"F32\"", largest, "[0,24]")), "tensor t is too large");
  CHECK_ERROR(read(file_with("\"I8\"", largest, "[0,0]")), "tensor t is too large");
}

TEST(offsets_must_hold_the_shape) {
  CHECK_ERROR(read(file_with("\"F32\"", "[6]", "[0,23]")), "of shape [6] does not fill");
  CHECK_ERROR(read(file_with("\"F32\"", "[2,3]", "[24,0]")), "of shape [2,3] does not fill");
  CHECK_ERROR(read(file_with("\"F32\"", "[6]", "[0]")), "has not two offsets");
  CHECK_ERROR(read(file_with("\"F32\"", "[6]", "[0,24,24]")), "has not two offsets");
  CHECK_ERROR(read(file_with("\"F32\"", "[6]", "[-24,0]")), "an offset -24");
  CHECK_ERROR(read(file_with("\"F32\"", "[6]", "[0,1e18]")), "an offset 1e+18");
  CHECK_ERROR(read(file_with("\"F32\"", "[6]", "24")), "data_offsets is not a list");
}

TEST(tensors_cover_the_data_exactly) {
  CHECK_EQ(read(two_tensors(entry("b", 4, 8), entry("a", 0, 4))).count(), 2U);
  CHECK_ERROR(read(two_tensors(entry("a", 0, 5), entry("b", 4, 8))), "overlap or leave a gap");
  CHECK_ERROR(read(two_tensors(entry("a", 0, 3), entry("b", 4, 8))), "overlap or leave a gap");
  CHECK_ERROR(read(two_tensors(entry("a", 0, 4), entry("b", 0, 4))), "overlap or leave a gap");
  CHECK_ERROR(read(two_tensors(entry("a", 0, 4), entry("b", 4, 7))), "end at byte 7 of 8");
  CHECK_ERROR(read(two_tensors(entry("a", 0, 4), entry("b", 4, 9))), "end at byte 9 of 8");
  CHECK_ERROR(read(file_of("{}", Bytes(1))), "end at byte 0 of 1");
}

TEST(asked_type_and_shape_must_match) {
  SafeTensorsWriter writer;
  writer.add("f", "[2]", std::vector<float>{1, 2});
  const Bytes file = writer.file();
  const SafeTensors tensors = read(file);
  CHECK_ERROR(tensors.floats("g", {2}), "tensor g is missing");
  CHECK_ERROR(tensors.floats("f", {1, 2}), "tensor f is F32 [2], expected F32 [1,2]");
  CHECK_ERROR(tensors.bytes("f", {2}), "tensor f is F32 [2], expected I8 [2]");
}

TEST(floats_must_be_finite) {
  for (const float value : {std::nanf(""), std::numeric_limits<float>::infinity(),
                            -std::numeric_limits<float>::infinity()}) {
    SafeTensorsWriter writer;
    writer.add("f", "[2]", std::vector<float>{1, value});
    const Bytes file = writer.file();
    CHECK_ERROR(read(file).floats("f", {2}), "tensor f holds values that are not finite");
  }
}

CHECK_MAIN()
