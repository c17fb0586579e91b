#include "backends/tensorrt/loaded_plugin.h"

#include "backends/load_plugin.h"

namespace esr::tensorrt {
namespace {

constexpr PluginFile kFile = {"tensorrt", "TensorRT", kPluginFile, kPluginEntry};

}  // namespace

const Plugin &loaded_plugin() {
  static const void *const table = load_plugin(kFile, kPluginRelease);
  return *static_cast<const Plugin *>(table);
}

void check(PluginStatus status, const PluginMessage &message) {
  check_plugin(kFile, status, message);
}

}  // namespace esr::tensorrt
