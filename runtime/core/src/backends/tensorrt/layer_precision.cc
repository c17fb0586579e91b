#include "backends/tensorrt/layer_precision.h"

#include <algorithm>
#include <cctype>

#include "base/error.h"
#include "base/json.h"

namespace esr::tensorrt {
namespace {

// What the inspector writes of a tensor's format, in lower case, and the precision it means. The
// long texts come with an execution context, the short ones without.
constexpr const char *kFormats[][2] = {
    {"int8", "int8"}, {"half", "fp16"}, {"fp16", "fp16"}, {"float", "fp32"}, {"fp32", "fp32"}};
// Engine layers that only move data.
constexpr const char *kCopies[] = {"reformat", "nooplayer", "constant"};

std::string lower(std::string text) {
  for (char &c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

std::string text_at(const Json &values, const char *name) {
  const Json *value = values.find(name);
  return value != nullptr && value->is(Json::Type::kString) ? value->as_string(name) : "";
}

bool is_of_name(const std::string &text, std::size_t position) {
  if (position >= text.size()) return false;
  const auto c = static_cast<unsigned char>(text[position]);
  return std::isalnum(c) != 0 || c >= 0x80 || c == '.' || c == '_' || c == '/';
}

// Whether a name stands in the text by itself, not as the start or end of a longer one.
bool mentions(const std::string &text, const std::string &name) {
  for (std::size_t start = text.find(name); start != std::string::npos;
       start = text.find(name, start + 1)) {
    const bool is_end = start > 0 && is_of_name(text, start - 1);
    if (!is_end && !is_of_name(text, start + name.size())) return true;
  }
  return false;
}

// By the type of the weights, or else of the first input.
std::string precision_of(const Json &report) {
  std::vector<std::string> texts;
  const Json *weights = report.find("Weights");
  if (weights != nullptr) texts.push_back(text_at(*weights, "Type"));
  const Json *inputs = report.find("Inputs");
  if (inputs != nullptr && inputs->is(Json::Type::kArray) && !inputs->as_array("Inputs").empty()) {
    texts.push_back(text_at(inputs->as_array("Inputs").front(), "Format/Datatype"));
  }
  for (const std::string &text : texts) {
    for (const auto &format : kFormats) {
      if (lower(text).find(format[0]) != std::string::npos) return format[1];
    }
  }
  return "";
}

Json parsed(std::string report) {
  // Control characters between names are no JSON.
  for (char &c : report) {
    if (static_cast<unsigned char>(c) < 0x20) c = ' ';
  }
  try {
    return Json::parse(report);
  } catch (const Error &error) {
    throw Error(Status::kBackend,
                std::string("the engine inspector's report cannot be read: ") + error.what());
  }
}

}  // namespace

void check_precisions(const std::vector<std::string> &reports,
                      std::vector<LayerPrecision> *layers) {
  std::vector<bool> is_found(layers->size());
  for (const std::string &text : reports) {
    const Json report = parsed(text);
    const std::string type = lower(text_at(report, "LayerType"));
    if (std::find(std::begin(kCopies), std::end(kCopies), type) != std::end(kCopies)) continue;
    const std::string names = text_at(report, "Name") + " " + text_at(report, "Metadata");
    std::vector<std::size_t> covered;
    for (std::size_t i = 0; i < layers->size(); ++i) {
      if (mentions(names, (*layers)[i].name)) covered.push_back(i);
    }
    for (const std::size_t i : covered) {
      // A region of several convolutions does not tell them apart.
      if (!is_found[i] && covered.size() == 1) (*layers)[i].runs = precision_of(report);
      is_found[i] = true;
    }
  }
  std::string wrong;
  for (const LayerPrecision &layer : *layers) {
    if (layer.runs.empty() || layer.runs == layer.asked) continue;
    wrong += (wrong.empty() ? "" : "; ") + layer.name + " runs in " + layer.runs + ", not " +
             layer.asked;
  }
  if (!wrong.empty())
    throw Error(Status::kBackend, "the engine is not what the graph says: " + wrong);
}

}  // namespace esr::tensorrt
