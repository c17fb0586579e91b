#include "backends/tensorrt/machine.h"

#include <fstream>
#include <map>
#include <regex>
#include <sstream>

#include "base/json.h"
#include "base/json_text.h"
#include "base/text.h"

namespace esr::tensorrt {
namespace {

std::string shown_value(const Json *value) {
  if (value == nullptr) return "unknown";
  return value->is(Json::Type::kString) ? shown(value->as_string("value")) : "no text";
}

}  // namespace

std::string driver_release(const std::string &path) {
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  const std::string content = text.str();
  std::smatch found;
  const std::regex release("\\b(\\d+\\.\\d+(?:\\.\\d+)?)\\b");
  return std::regex_search(content, found, release) ? found[1].str() : "";
}

std::string machine_text(const DeviceFacts &facts, const std::string &driver) {
  return "{\"CUDA\":" + json_quoted(facts.cuda) + ",\"TensorRT\":" + json_quoted(facts.tensorrt) +
         ",\"compute capability\":" + json_quoted(facts.compute_capability) +
         ",\"driver\":" + json_quoted(driver) + ",\"gpu\":" + json_quoted(facts.gpu) + "}";
}

std::string machine_changes(const std::string &now, const std::string &then) {
  const Json present = Json::parse(now);
  const Json past = Json::parse(then);
  std::map<std::string, std::string> changes;
  for (const auto &[name, was] : past.as_object("machine")) {
    const std::string is = shown_value(present.find(name));
    if (is == shown_value(&was)) continue;
    changes[name] = shown(name) + " is " + is + ", was " + shown_value(&was);
  }
  std::string text;
  for (const auto &[name, change] : changes) text += (text.empty() ? "" : ", ") + change;
  return text;
}

}  // namespace esr::tensorrt
