// Shows the plan for frames of 640x360 of a bundle that a cache holds, or puts one there:
// tensorrt_cache_files BUNDLE FOLDER. tests/core/test_tensorrt.py has Python's cache do the same.
#include <cstdio>
#include <cstring>
#include <exception>
#include <string>

#include "backends/tensorrt/machine.h"
#include "backends/tensorrt/plan_cache.h"
#include "bundle/bundle.h"

int main(int argc, char **argv) {
  using namespace esr::tensorrt;
  if (argc != 3) return 2;
  try {
    DeviceFacts facts{};
    std::strcpy(facts.gpu, "Orin \"nvgpu\" \xc2\xb5");
    std::strcpy(facts.compute_capability, "8.7");
    std::strcpy(facts.cuda, "12.6");
    std::strcpy(facts.tensorrt, "10.3.0");
    const esr::Manifest manifest = esr::read_manifest(argv[1]);
    PlanKey key = {request_text(manifest, "model.int8.onnx", 640, 360), kDefaultOptions,
                   machine_text(facts, "540.4.0")};
    const PlanCache cache(argv[2]);
    const PlanLock lock(cache.lock_path(key));
    if (const auto options = cache.newest_options(key.request, key.machine)) {
      key.options = *options;
      const FoundPlan found = cache.load(key);
      std::printf("%s\n", std::string(found.plan->begin(), found.plan->end()).c_str());
    } else {
      cache.store(key, {'p', 'l', 'a', 'n'});
      cache.store_timing_cache(key.machine, {'t'});
    }
    std::printf("%s\n", key.stem().c_str());
  } catch (const std::exception &error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
