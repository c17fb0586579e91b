// A plan in the cache: NAME.plan, and NAME.json that tells what it was built from.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "backends/tensorrt/plan_key.h"

namespace esr::tensorrt {

struct PlanEntry {
  PlanKey key;  // empty texts if NAME.json tells none
  std::vector<std::uint8_t> plan;
  std::string damage;  // one line, or empty
};

// `path` is that of NAME.plan.
PlanEntry read_entry(const std::string &path);

// The content of NAME.json.
std::string facts_text(const PlanKey &key, const std::vector<std::uint8_t> &plan);

}  // namespace esr::tensorrt
