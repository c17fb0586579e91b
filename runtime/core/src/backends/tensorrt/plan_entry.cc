#include "backends/tensorrt/plan_entry.h"

#include <chrono>
#include <cstdio>
#include <optional>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/json_text.h"
#include "base/sha256.h"

namespace esr::tensorrt {
namespace {

constexpr std::int64_t kLargestPlan = std::int64_t{1} << 30;
constexpr std::size_t kLargestFacts = std::size_t{1} << 20;

struct Facts {
  PlanKey key;
  std::int64_t bytes = 0;
  std::string sha256;
};

Facts parsed(const std::string &path) {
  const std::size_t size = size_of(path);
  if (size > kLargestFacts) throw Error(Status::kModelFormat, "it is too large");
  const std::vector<std::uint8_t> data = read_file(path, size);
  const Json values = Json::parse({reinterpret_cast<const char *>(data.data()), data.size()});
  const auto part = [&](const char *name) {
    values.at(name).as_object(name);
    return canonical_json(values.at(name));
  };
  return {{part("request"), part("options"), part("machine")},
          values.at("bytes").as_integer("bytes", 0, kLargestPlan),
          values.at("sha256").as_string("sha256")};
}

std::string name_of(const std::string &path) { return path.substr(path.rfind('/') + 1); }

// Seconds since 1970 with their thousandths.
std::string seconds_now() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto all = std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
  char text[32];
  std::snprintf(text, sizeof(text), "%lld.%03d", static_cast<long long>(all / 1000),
                static_cast<int>(all % 1000));
  return text;
}

// What is wrong with a plan that its facts describe.
std::string damage_of(const std::string &path, const Facts &facts, PlanEntry *entry) {
  const std::string name = name_of(path);
  const std::size_t size = size_of(path);
  if (static_cast<std::int64_t>(size) != facts.bytes) {
    return name + " has " + std::to_string(size) + " bytes, not " + std::to_string(facts.bytes);
  }
  entry->plan = read_file(path, size);
  if (sha256(entry->plan.data(), size) != facts.sha256) return name + " does not have its digest";
  if (facts.key.stem() + ".plan" != name) return name + " is named after another plan";
  return "";
}

}  // namespace

PlanEntry read_entry(const std::string &path) {
  const std::string facts_path = path.substr(0, path.rfind('.')) + ".json";
  PlanEntry entry;
  try {
    const Facts facts = parsed(facts_path);
    entry.key = facts.key;
    entry.damage = damage_of(path, facts, &entry);
  } catch (const Error &error) {
    entry.damage = name_of(facts_path) + ": " + error.what();
  }
  return entry;
}

std::string facts_text(const PlanKey &key, const std::vector<std::uint8_t> &plan) {
  return "{\n  \"request\": " + key.request + ",\n  \"options\": " + key.options +
         ",\n  \"machine\": " + key.machine + ",\n  \"sha256\": \"" +
         sha256(plan.data(), plan.size()) + "\",\n  \"bytes\": " + std::to_string(plan.size()) +
         ",\n  \"created\": " + seconds_now() + "\n}\n";
}

}  // namespace esr::tensorrt
