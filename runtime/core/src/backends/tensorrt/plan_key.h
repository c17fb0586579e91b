// What identifies a plan in the cache, as runtime/plan_cache.py writes it.
#pragma once

#include <string>

#include "bundle/manifest.h"

namespace esr::tensorrt {

// Canonical JSON objects (base/json_text.h).
struct PlanKey {
  std::string request;  // what the plan is of
  std::string options;  // how it was built
  std::string machine;  // what it is for

  // File name of the entry, without suffix.
  std::string stem() const;
};

// Of a key's part in the file name.
std::string short_digest(const std::string &part);

// A graph of the bundle for frames of exactly this size, in LR pixels.
std::string request_text(const Manifest &manifest, const std::string &graph, int width, int height);

// The defaults of the builder: the only plans that this library builds.
extern const char *const kDefaultOptions;

// Whether a plan of these options runs on later releases, for which it carries code for the host.
bool is_version_compatible(const std::string &options);

}  // namespace esr::tensorrt
