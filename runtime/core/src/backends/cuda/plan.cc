#include "backends/cuda/plan.h"

#include <algorithm>
#include <limits>
#include <string>

#include "backends/cuda/cost.h"
#include "base/error.h"

namespace esr::cuda {
namespace {

using native::Layer;

constexpr int kCoreWidths[] = {8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 128};
constexpr int kCoreHeights[] = {2, 4, 6, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 64};

struct Choice {
  double cycles = std::numeric_limits<double>::infinity();
  CoreSize core;
  int warps = 0;
};

// The cheapest tile.
Choice best_tile(const Chain &chain, Range range, const DeviceFacts &device, int width,
                 int height) {
  Choice best;
  for (const int core_width : kCoreWidths) {
    for (const int core_height : kCoreHeights) {
      for (const int warps : {kMostWarps / 2, kMostWarps}) {
        const CoreSize core = {core_width, core_height};
        const Geometry geometry = geometry_of(chain, range, core, warps);
        if (!fits(geometry, device)) break;
        const double cycles = pass_cycles(chain, geometry, device, width, height);
        if (cycles < best.cycles) best = {cycles, core, warps};
      }
    }
  }
  return best;
}

// Bytes of the map that leaves the stages before `cut`.
std::int64_t map_bytes_at(const Chain &chain, int cut, int width, int height) {
  const Layer &layer = chain.stages[static_cast<std::size_t>(cut) - 1].last();
  return std::int64_t{width} * height * groups_of(layer.out_channels) * kGroupBytes;
}

FramePlan plan_of(const Chain &chain, const DeviceFacts &device, int width, int height,
                  const std::vector<Geometry> &passes) {
  FramePlan plan;
  plan.width = width;
  plan.height = height;
  for (const Geometry &geometry : passes) {
    plan.passes.push_back(build_pass(chain, geometry, device, width, height));
    if (geometry.range.begin == 0) continue;
    plan.map_bytes =
        std::max(plan.map_bytes, map_bytes_at(chain, geometry.range.begin, width, height));
  }
  return plan;
}

[[noreturn]] void refuse(const Chain &chain, Range range, const DeviceFacts &device) {
  const Layer &layer = *chain.stages[static_cast<std::size_t>(range.begin)].first.layer;
  throw Error(Status::kUnsupported,
              "the CUDA engine does not run this network: the stage of layer " + layer.name +
                  " does not fit into the " + std::to_string(device.shared_per_block) +
                  " bytes of shared memory that a block has");
}

}  // namespace

FramePlan plan_frame_with(const Chain &chain, const DeviceFacts &device, int width, int height,
                          const std::vector<int> &cuts, CoreSize core) {
  std::vector<Geometry> passes;
  int begin = 0;
  const auto add = [&](int end) {
    passes.push_back(geometry_of(chain, {begin, end}, core, kMostWarps / 2));
    if (!fits(passes.back(), device)) refuse(chain, {begin, end}, device);
    begin = end;
  };
  for (const int cut : cuts) add(cut);
  add(static_cast<int>(chain.stages.size()));
  return plan_of(chain, device, width, height, passes);
}

// The cheapest way through the stages: every cut is tried, and for every pass every tile.
FramePlan plan_frame(const Chain &chain, const DeviceFacts &device, int width, int height) {
  struct Step {
    Choice choice;  // its cycles are those of all passes so far
    int begin = 0;
  };
  const int count = static_cast<int>(chain.stages.size());
  std::vector<Step> steps(static_cast<std::size_t>(count) + 1);
  steps[0].choice.cycles = 0.0;
  for (int end = 1; end <= count; ++end) {
    Step &step = steps[static_cast<std::size_t>(end)];
    for (int begin = std::max(0, end - kMaxStages); begin < end; ++begin) {
      Choice choice = best_tile(chain, {begin, end}, device, width, height);
      choice.cycles += steps[static_cast<std::size_t>(begin)].choice.cycles;
      if (choice.cycles < step.choice.cycles) step = {choice, begin};
    }
    if (step.choice.warps == 0) refuse(chain, {end - 1, end}, device);
  }
  std::vector<Geometry> passes;
  for (int end = count; end > 0; end = steps[static_cast<std::size_t>(end)].begin) {
    const Step &step = steps[static_cast<std::size_t>(end)];
    const Choice &choice = step.choice;
    passes.push_back(geometry_of(chain, {step.begin, end}, choice.core, choice.warps));
  }
  std::reverse(passes.begin(), passes.end());
  return plan_of(chain, device, width, height, passes);
}

}  // namespace esr::cuda
