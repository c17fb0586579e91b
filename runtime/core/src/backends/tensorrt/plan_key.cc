#include "backends/tensorrt/plan_key.h"

#include "base/json.h"
#include "base/json_text.h"
#include "base/sha256.h"

namespace esr::tensorrt {
namespace {

constexpr std::size_t kDigestLength = 16;

std::string shape_text(int width, int height) {
  return "[1," + std::to_string(height) + "," + std::to_string(width) + "]";
}

}  // namespace

const char *const kDefaultOptions =
    "{\"dla_core\":null,\"hardware_compatible\":false,\"level\":3,"
    "\"version_compatible\":false,\"workspace_mib\":0}";

std::string short_digest(const std::string &part) {
  const auto *data = reinterpret_cast<const std::uint8_t *>(part.data());
  return sha256(data, part.size()).substr(0, kDigestLength);
}

std::string PlanKey::stem() const {
  return short_digest(request) + "-" + short_digest(options) + "-" + short_digest(machine);
}

std::string request_text(const Manifest &manifest, const std::string &graph, int width,
                         int height) {
  // Of the smallest, the likeliest and the largest frame.
  const std::string shape = shape_text(width, height);
  return "{\"graph\":" + json_quoted(graph) + ",\"model\":" + json_quoted(manifest.model) +
         ",\"scale\":" + std::to_string(manifest.scale) +
         ",\"sha256\":" + json_quoted(manifest.file(graph).sha256) + ",\"shapes\":[" + shape + "," +
         shape + "," + shape + "]}";
}

bool is_version_compatible(const std::string &options) {
  const Json values = Json::parse(options);
  const Json *value = values.find("version_compatible");
  return value != nullptr && value->is(Json::Type::kBool) && value->as_bool("version_compatible");
}

}  // namespace esr::tensorrt
