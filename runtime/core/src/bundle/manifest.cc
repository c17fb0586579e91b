#include "bundle/manifest.h"

#include <algorithm>

#include "base/error.h"
#include "base/json.h"
#include "base/text.h"

namespace esr {
namespace {

constexpr std::int64_t kSchemaVersion = 1;
constexpr std::int64_t kLargestFile = std::int64_t{256} << 20;
constexpr std::int64_t kLargestRadius = 256;
constexpr std::int64_t kLargestMultiple = 64;
constexpr std::size_t kMostFiles = 64;
constexpr std::size_t kLongestText = 100;
constexpr const char *kPrecisions[] = {"fp32", "fp16", "bf16", "int8"};

[[noreturn]] void fail(const std::string &message) { throw Error(Status::kModelFormat, message); }

int whole_at(const Json &values, const char *name, std::int64_t low, std::int64_t high) {
  return static_cast<int>(values.at(name).as_integer(name, low, high));
}

std::string text_at(const Json &values, const char *name) {
  const Json *value = values.find(name);
  const bool is_text = value != nullptr && value->is(Json::Type::kString);
  const std::size_t length = is_text ? utf8_count(value->as_string(name)) : 0;
  if (length == 0 || length > kLongestText) {
    fail(std::string(name) + " must be a text of 1 to 100 characters");
  }
  return value->as_string(name);
}

// What is in these objects is for people and for Python.
void check_object(const Json &values, const char *name) {
  const Json *value = values.find(name);
  if (value != nullptr && !value->is(Json::Type::kObject)) {
    fail(std::string(name) + " must be an object");
  }
}

bool is_letter_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

// A name in the folder itself: no separators, nothing hidden.
bool is_plain_name(const std::string &name) {
  const auto is_plain = [](char c) {
    return is_letter_or_digit(c) || c == '.' || c == '_' || c == '-';
  };
  return !name.empty() && name.size() <= kLongestText && is_letter_or_digit(name[0]) &&
         std::all_of(name.begin(), name.end(), is_plain);
}

bool is_digest(const std::string &text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

FileEntry file_from(const std::string &name, const Json &entry) {
  if (!is_plain_name(name) || !entry.is(Json::Type::kObject)) {
    fail("file name '" + shown(name) + "' is not a plain name with an entry");
  }
  const Json *digest = entry.find("sha256");
  const bool is_text = digest != nullptr && digest->is(Json::Type::kString);
  if (!is_text || !is_digest(digest->as_string("sha256"))) {
    fail("sha256 of " + shown(name) + " is not 64 hexadecimal digits");
  }
  const std::int64_t bytes = entry.at("bytes").as_integer("bytes", 0, kLargestFile);
  return {digest->as_string("sha256"), static_cast<std::size_t>(bytes)};
}

std::map<std::string, FileEntry> files_from(const Json &values) {
  const Json *entries = values.find("files");
  if (entries == nullptr || !entries->is(Json::Type::kObject) ||
      entries->as_object("files").size() > kMostFiles) {
    fail("files must be an object of at most 64 entries");
  }
  std::map<std::string, FileEntry> files;
  for (const Json::Member &member : entries->as_object("files")) {
    files[member.first] = file_from(member.first, member.second);
  }
  return files;
}

std::vector<std::string> precisions_from(const Json &values) {
  std::vector<std::string> precisions;
  for (const Json &value : values.at("precisions").as_array("precisions")) {
    const std::string &name = value.as_string("a precision");
    const bool is_known =
        std::find(std::begin(kPrecisions), std::end(kPrecisions), name) != std::end(kPrecisions);
    const bool is_new = std::find(precisions.begin(), precisions.end(), name) == precisions.end();
    if (!is_known || !is_new) {
      fail("precision '" + shown(name) + "' is listed twice or none of fp32, fp16, bf16, int8");
    }
    precisions.push_back(name);
  }
  if (precisions.empty()) fail("no precision is listed");
  return precisions;
}

bool is_true_at(const Json &values, const char *name) {
  const Json *value = values.find(name);
  return value != nullptr && value->is(Json::Type::kBool) && value->as_bool(name);
}

void check_version(const Json &values) {
  const int version = whole_at(values, "schema_version", 0, std::int64_t{1} << 30);
  if (version != kSchemaVersion) {
    fail("schema version " + std::to_string(version) + " is not " + std::to_string(kSchemaVersion) +
         "; build the bundle with this release or update the library");
  }
}

}  // namespace

const FileEntry &Manifest::file(const std::string &name) const {
  const auto found = files.find(name);
  if (found == files.end()) fail("the bundle lists no file " + name);
  return found->second;
}

Manifest parse_manifest(std::string_view text) {
  const Json values = Json::parse(text);
  values.as_object("the manifest");
  check_version(values);
  Manifest manifest;
  manifest.precisions = precisions_from(values);
  manifest.model = text_at(values, "model");
  manifest.scale = whole_at(values, "scale", 2, 4);
  manifest.channels = text_at(values, "channels");
  manifest.receptive_field_radius = whole_at(values, "receptive_field_radius", 0, kLargestRadius);
  manifest.size_multiple = whole_at(values, "size_multiple", 1, kLargestMultiple);
  manifest.is_tileable = is_true_at(values, "tileable");
  manifest.default_precision = text_at(values, "default_precision");
  manifest.files = files_from(values);
  for (const char *name : {"quality", "latency", "provenance"}) check_object(values, name);
  if (manifest.channels != "y" && manifest.channels != "rgb") {
    fail("channels '" + shown(manifest.channels) + "' is not y or rgb");
  }
  const std::vector<std::string> &present = manifest.precisions;
  if (std::find(present.begin(), present.end(), manifest.default_precision) == present.end()) {
    fail("default precision '" + shown(manifest.default_precision) + "' is not present");
  }
  return manifest;
}

}  // namespace esr
