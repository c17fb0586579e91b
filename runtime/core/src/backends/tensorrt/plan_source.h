// The plan of a bundle's graph for this machine: from the cache, or built and kept there.
#pragma once

#include <optional>
#include <string>

#include "backends/tensorrt/plan_cache.h"
#include "backends/tensorrt/plugin.h"
#include "base/log.h"
#include "bundle/manifest.h"

namespace esr::tensorrt {

// A precision of a bundle, checked when it was opened.
struct Model {
  std::string bundle;  // its folder
  Manifest manifest;
  std::string precision;
};

// A frame's size in LR pixels, and which graph it takes.
struct FrameKind {
  int width;
  int height;
  bool is_twin;

  bool operator==(const FrameKind &other) const {
    return width == other.width && height == other.height && is_twin == other.is_twin;
  }
};

struct Plan {
  Data data;
  bool has_host_code;
  bool is_new;  // built by this call
};

class PlanSource {
 public:
  // `cache_folder` is empty where plans cannot be kept. `log` hears of builds and of plans that
  // were not taken.
  PlanSource(const Plugin &plugin, int device, Model model, std::string machine,
             std::string cache_folder, Log log);

  // With `rebuild` although the cache holds one. Throws what a build throws; a cache that cannot be
  // written costs a line, not the plan.
  Plan plan_for(const FrameKind &frame, bool rebuild) const;

 private:
  std::optional<Plan> found(const PlanKey &key, std::string *reason) const;
  Plan built(const FrameKind &frame, const std::string &graph, const PlanKey &key) const;
  Data build(const FrameKind &frame, const std::string &graph) const;
  PlanKey key_for(const FrameKind &frame, const std::string &graph) const;

  const Plugin &plugin_;
  const int device_;
  const Model model_;
  const std::string machine_;
  const bool keeps_;
  const PlanCache cache_;
  const Log log_;
};

// File name of a precision's graph, or of its float twin.
std::string graph_name(const std::string &precision, bool is_twin);

}  // namespace esr::tensorrt
