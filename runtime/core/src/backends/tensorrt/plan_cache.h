// The folder of plans that Python's backend shares: runtime/plan_cache.py says what is in it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "backends/tensorrt/plan_key.h"

namespace esr::tensorrt {

using Data = std::vector<std::uint8_t>;

// A lookup: the plan, or why what is there was not taken (empty if there is nothing).
struct FoundPlan {
  std::optional<Data> plan;
  std::string reason;
};

// The right to build a plan, which goes with the process that holds it.
class PlanLock {
 public:
  // Waits until no other process holds it. Throws Error(kIo).
  explicit PlanLock(const std::string &path);
  ~PlanLock();
  PlanLock(const PlanLock &) = delete;
  PlanLock &operator=(const PlanLock &) = delete;

 private:
  int file_;
};

// Every file appears whole or not at all.
class PlanCache {
 public:
  explicit PlanCache(std::string folder) : folder_(std::move(folder)) {}

  // In $XDG_CACHE_HOME, else in ~/.cache. Throws Error(kIo) if neither is known.
  static std::string default_folder();

  FoundPlan load(const PlanKey &key) const;

  // Options of the youngest intact plan for a request on a machine.
  std::optional<std::string> newest_options(const std::string &request,
                                            const std::string &machine) const;

  // Measured tactics that all plans of a machine share; empty if there are none.
  Data timing_cache(const std::string &machine) const;

  // The following make the folder, and throw Error(kIo) if they cannot write there.
  void store(const PlanKey &key, const Data &plan) const;
  void store_timing_cache(const std::string &machine, const Data &tactics) const;
  // Of the file to hold while a plan is built.
  std::string lock_path(const PlanKey &key) const;

 private:
  std::string file(const std::string &name) const { return folder_ + "/" + name; }
  std::string why_not(const PlanKey &key) const;
  void make_folder() const;

  std::string folder_;
};

}  // namespace esr::tensorrt
