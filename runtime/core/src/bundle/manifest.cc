#include "bundle/manifest.h"

#include <algorithm>

#include "base/error.h"
#include "base/json.h"

namespace esr {
namespace {

constexpr std::int64_t kSchemaVersion = 1;
constexpr std::int64_t kLargestFile = std::int64_t{256} << 20;
constexpr std::size_t kMostFiles = 64;
constexpr std::size_t kLongestText = 100;
constexpr const char *kPrecisions[] = {"fp32", "fp16", "bf16", "int8"};

[[noreturn]] void fail(const std::string &message) { throw Error(Status::kModelFormat, message); }

std::string text_at(const Json &values, const char *name) {
  const std::string &text = values.at(name).as_string(name);
  if (text.empty() || text.size() > kLongestText) {
    fail(std::string(name) + " must be a text of 1 to 100 characters");
  }
  return text;
}

bool is_plain_name(const std::string &name) {
  const auto is_plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           c == '.' || c == '_' || c == '-';
  };
  return !name.empty() && name.size() <= kLongestText && name[0] != '.' && name[0] != '_' &&
         name[0] != '-' && std::all_of(name.begin(), name.end(), is_plain);
}

bool is_digest(const std::string &text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

std::map<std::string, FileEntry> files_from(const Json &values) {
  std::map<std::string, FileEntry> files;
  for (const Json::Member &member : values.as_object("files")) {
    if (!is_plain_name(member.first) || files.size() >= kMostFiles) {
      fail("files are too many or one has no plain name");
    }
    FileEntry entry;
    entry.sha256 = member.second.at("sha256").as_string("sha256");
    if (!is_digest(entry.sha256)) fail("sha256 of " + member.first + " is not 64 hex digits");
    entry.bytes =
        static_cast<std::size_t>(member.second.at("bytes").as_integer("bytes", 0, kLargestFile));
    files[member.first] = entry;
  }
  return files;
}

std::vector<std::string> precisions_from(const Json &values) {
  std::vector<std::string> precisions;
  for (const Json &value : values.as_array("precisions")) {
    const std::string &name = value.as_string("a precision");
    const bool is_known = std::find(std::begin(kPrecisions), std::end(kPrecisions), name) !=
                          std::end(kPrecisions);
    const bool is_new = std::find(precisions.begin(), precisions.end(), name) == precisions.end();
    if (!is_known || !is_new) fail("a precision is unknown or listed twice");
    precisions.push_back(name);
  }
  if (precisions.empty()) fail("no precision is listed");
  return precisions;
}

}  // namespace

Manifest parse_manifest(std::string_view text) {
  const Json values = Json::parse(text);
  values.as_object("the manifest");
  const std::int64_t version =
      values.at("schema_version").as_integer("schema_version", 0, std::int64_t{1} << 30);
  if (version != kSchemaVersion) {
    fail("schema version " + std::to_string(version) + " is not " + std::to_string(kSchemaVersion));
  }
  Manifest manifest;
  manifest.model = text_at(values, "model");
  manifest.scale = static_cast<int>(values.at("scale").as_integer("scale", 2, 4));
  manifest.channels = text_at(values, "channels");
  if (manifest.channels != "y" && manifest.channels != "rgb") fail("channels is neither y nor rgb");
  manifest.precisions = precisions_from(values.at("precisions"));
  manifest.default_precision = text_at(values, "default_precision");
  if (std::find(manifest.precisions.begin(), manifest.precisions.end(),
                manifest.default_precision) == manifest.precisions.end()) {
    fail("the default precision is not present");
  }
  manifest.files = files_from(values.at("files"));
  return manifest;
}

}  // namespace esr
