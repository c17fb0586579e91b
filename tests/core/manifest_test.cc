#include "bundle/manifest.h"

#include <string>

#include "check.h"

using esr::Manifest;
using esr::parse_manifest;

namespace {

const std::string kDigest(64, 'a');

std::string well_formed() {
  return "{\"schema_version\": 1, \"model\": \"fsrcnn_residual\", \"scale\": 2, \"channels\": "
         "\"y\","
         " \"receptive_field_radius\": 8, \"size_multiple\": 1, \"tileable\": true,"
         " \"precisions\": [\"fp32\", \"int8\"], \"default_precision\": \"int8\","
         " \"files\": {\"model.native\": {\"sha256\": \"" +
         kDigest +
         "\", \"bytes\": 75520}},"
         " \"quality\": {}, \"latency\": {}, \"provenance\": {}, \"unknown\": [1]}";
}

// The well-formed manifest with one part exchanged.
Manifest with(const std::string &part, const std::string &replacement) {
  std::string text = well_formed();
  const std::size_t place = text.find(part);
  CHECK(place != std::string::npos);
  return parse_manifest(text.replace(place, part.size(), replacement));
}

}  // namespace

TEST(every_fact_is_read) {
  const Manifest manifest = parse_manifest(well_formed());
  CHECK_EQ(manifest.model, "fsrcnn_residual");
  CHECK_EQ(manifest.scale, 2);
  CHECK_EQ(manifest.channels, "y");
  CHECK_EQ(manifest.receptive_field_radius, 8);
  CHECK_EQ(manifest.size_multiple, 1);
  CHECK(manifest.is_tileable);
  CHECK_EQ(manifest.precisions.size(), 2U);
  CHECK_EQ(manifest.default_precision, "int8");
  CHECK_EQ(manifest.files.at("model.native").bytes, 75520U);
  CHECK_EQ(manifest.files.at("model.native").sha256, kDigest);
}

TEST(other_schema_versions_are_refused_with_advice) {
  CHECK_ERROR(with("\"schema_version\": 1", "\"schema_version\": 2"),
              "schema version 2 is not 1; build the bundle with this release or update");
  CHECK_ERROR(with("\"schema_version\": 1", "\"schema_version\": -1"), "schema_version -1 is not");
  CHECK_ERROR(with("\"schema_version\": 1, ", ""), "schema_version is missing");
}

TEST(numbers_are_bounded) {
  CHECK_ERROR(with("\"scale\": 2", "\"scale\": 5"), "scale 5 is not a whole number in 2..4");
  CHECK_ERROR(with("\"scale\": 2", "\"scale\": 2.0"), "scale 2 is not a whole number in 2..4");
  CHECK_ERROR(with("\"scale\": 2", "\"scale\": true"), "scale is not a number");
  CHECK_ERROR(with("\"receptive_field_radius\": 8", "\"receptive_field_radius\": 257"),
              "receptive_field_radius 257 is not a whole number in 0..256");
  CHECK_ERROR(with("\"size_multiple\": 1", "\"size_multiple\": 0"),
              "size_multiple 0 is not a whole number in 1..64");
  CHECK_ERROR(with("75520", "268435457"), "is not a whole number in 0..268435456");
  CHECK_ERROR(with("75520", "-1"), "bytes -1 is not a whole number");
}

TEST(texts_are_bounded) {
  CHECK_ERROR(with("\"fsrcnn_residual\"", "\"\""), "model must be a text of 1 to 100 characters");
  CHECK_ERROR(with("\"fsrcnn_residual\"", "7"), "model must be a text of 1 to 100 characters");
  CHECK_ERROR(with("fsrcnn_residual", std::string(101, 'm')), "model must be a text");
  std::string accents;
  for (int i = 0; i < 100; ++i) accents += "\xC3\xA9";
  CHECK_EQ(with("fsrcnn_residual", accents).model, accents);
  CHECK_ERROR(with("\"channels\": \"y\"", "\"channels\": \"rgba\""),
              "channels 'rgba' is not y or rgb");
}

TEST(precisions_are_known_and_listed_once) {
  CHECK_ERROR(with("[\"fp32\", \"int8\"]", "[\"fp32\", \"int4\"]"),
              "precision 'int4' is listed twice or");
  CHECK_ERROR(with("[\"fp32\", \"int8\"]", "[\"int8\", \"int8\"]"),
              "precision 'int8' is listed twice");
  CHECK_ERROR(with("[\"fp32\", \"int8\"]", "[1]"), "a precision is not a text");
  CHECK_ERROR(with("[\"fp32\", \"int8\"]", "[]"), "no precision is listed");
  CHECK_ERROR(with("\"default_precision\": \"int8\"", "\"default_precision\": \"bf16\""),
              "default precision 'bf16' is not present");
}

TEST(file_names_stay_in_the_folder) {
  for (const char *name : {"", "../x", "a/b", ".hidden", "-x", "a b", "a\\u0000b", "C:x"}) {
    CHECK_ERROR(with("\"model.native\"", std::string("\"") + name + "\""), "is not a plain name");
  }
  CHECK_ERROR(with("model.native", std::string(101, 'a')), "is not a plain name");
  CHECK_EQ(with("model.native", std::string(100, 'a')).files.size(), 1U);
}

TEST(digests_are_sixty_four_hexadecimal_digits) {
  CHECK_ERROR(with(kDigest, kDigest.substr(1)), "sha256 of model.native is not 64 hexadecimal");
  CHECK_ERROR(with(kDigest, "G" + kDigest.substr(1)), "is not 64 hexadecimal digits");
  CHECK_ERROR(with("\"sha256\"", "\"sha1\""), "sha256 of model.native is not 64 hexadecimal");
}

TEST(number_of_files_is_bounded) {
  const std::string entry = "\": {\"sha256\": \"" + kDigest + "\", \"bytes\": 0}, ";
  std::string others;
  for (int i = 0; i < 63; ++i) others += "\"f" + std::to_string(i) + entry;
  CHECK_EQ(with("\"model.native\"", others + "\"model.native\"").files.size(), 64U);
  others += "\"f63" + entry;
  CHECK_ERROR(with("\"model.native\"", others + "\"model.native\""), "at most 64 entries");
  CHECK_ERROR(with("\"files\"", "\"other\""), "files must be an object of at most 64 entries");
}

TEST(other_parts_must_be_objects) {
  CHECK_ERROR(with("\"quality\": {}", "\"quality\": 1"), "quality must be an object");
  CHECK_ERROR(with("\"latency\": {}", "\"latency\": []"), "latency must be an object");
  CHECK_EQ(with("\"provenance\": {}, ", "").scale, 2);
  CHECK_ERROR(parse_manifest("[]"), "the manifest is not an object");
  CHECK_ERROR(parse_manifest("{"), "not valid JSON");
}

TEST(bundle_is_tileable_only_if_it_says_so) {
  CHECK(!with("\"tileable\": true, ", "").is_tileable);
  CHECK(!with("\"tileable\": true", "\"tileable\": 1").is_tileable);
}

CHECK_MAIN()
