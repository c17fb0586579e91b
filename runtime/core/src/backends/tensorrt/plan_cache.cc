#include "backends/tensorrt/plan_cache.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string_view>

#include "backends/tensorrt/machine.h"
#include "backends/tensorrt/plan_entry.h"
#include "base/error.h"
#include "base/file.h"

namespace esr::tensorrt {
namespace {

namespace fs = std::filesystem;

std::string_view text_of(const Data &data) {
  return {reinterpret_cast<const char *>(data.data()), data.size()};
}

bool begins(std::string_view text, std::string_view start) {
  return text.substr(0, start.size()) == start;
}

bool ends(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

// Files of the folder named so, the youngest first.
std::vector<std::string> youngest(const std::string &folder, const std::string &start,
                                  const std::string &end) {
  std::vector<std::pair<fs::file_time_type, std::string>> found;
  std::error_code failure;  // a folder that cannot be read holds nothing for us
  for (fs::directory_iterator item(folder, failure), none; !failure && item != none;
       item.increment(failure)) {
    const std::string name = item->path().filename().string();
    if (!begins(name, start) || !ends(name, end)) continue;
    std::error_code unknown;
    found.emplace_back(fs::last_write_time(item->path(), unknown), item->path().string());
  }
  std::sort(found.rbegin(), found.rend());
  std::vector<std::string> paths;
  for (const auto &[time, path] : found) paths.push_back(path);
  return paths;
}

}  // namespace

PlanLock::PlanLock(const std::string &path)
    : file_(open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644)) {
  if (file_ < 0) throw Error(Status::kIo, "cannot write " + path + ": " + std::strerror(errno));
  while (flock(file_, LOCK_EX) != 0 && errno == EINTR) {
  }
}

PlanLock::~PlanLock() { close(file_); }

std::string PlanCache::default_folder() {
  const char *cache = std::getenv("XDG_CACHE_HOME");
  if (cache != nullptr && *cache != '\0') return std::string(cache) + "/edge-sr/plans";
  const char *home = std::getenv("HOME");
  if (home == nullptr || *home == '\0') {
    throw Error(Status::kIo, "neither XDG_CACHE_HOME nor HOME is set");
  }
  return std::string(home) + "/.cache/edge-sr/plans";
}

FoundPlan PlanCache::load(const PlanKey &key) const {
  const std::string path = file(key.stem() + ".plan");
  if (!exists(path)) return {std::nullopt, why_not(key)};
  PlanEntry entry = read_entry(path);
  if (!entry.damage.empty()) {
    return {std::nullopt, "the cached plan is damaged: " + entry.damage};
  }
  return {std::move(entry.plan), ""};
}

std::optional<std::string> PlanCache::newest_options(const std::string &request,
                                                     const std::string &machine) const {
  const std::string end = "-" + short_digest(machine) + ".plan";
  for (const std::string &path : youngest(folder_, short_digest(request) + "-", end)) {
    const PlanEntry entry = read_entry(path);
    if (entry.damage.empty()) return entry.key.options;
  }
  return std::nullopt;
}

std::string PlanCache::why_not(const PlanKey &key) const {
  const std::string start = short_digest(key.request) + "-" + short_digest(key.options) + "-";
  for (const std::string &path : youngest(folder_, start, ".plan")) {
    const PlanEntry entry = read_entry(path);
    const std::string changes =
        entry.key.machine.empty() ? "" : machine_changes(key.machine, entry.key.machine);
    if (!changes.empty()) return "the cached plan is of another machine: " + changes;
  }
  return "";
}

Data PlanCache::timing_cache(const std::string &machine) const {
  const std::string path = file(short_digest(machine) + ".timing.cache");
  try {
    return read_file(path, size_of(path));
  } catch (const Error &) {
    return {};  // there are none yet, or none that can be read: TensorRT measures again
  }
}

void PlanCache::store(const PlanKey &key, const Data &plan) const {
  make_folder();
  write_file(file(key.stem() + ".plan"), text_of(plan));
  write_file(file(key.stem() + ".json"), facts_text(key, plan));
}

void PlanCache::store_timing_cache(const std::string &machine, const Data &tactics) const {
  make_folder();
  write_file(file(short_digest(machine) + ".timing.cache"), text_of(tactics));
}

std::string PlanCache::lock_path(const PlanKey &key) const {
  make_folder();
  return file(key.stem() + ".lock");
}

void PlanCache::make_folder() const {
  std::error_code failure;
  fs::create_directories(folder_, failure);
  if (failure) throw Error(Status::kIo, "cannot make " + folder_ + ": " + failure.message());
}

}  // namespace esr::tensorrt
