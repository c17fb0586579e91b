#include "api/device.h"

#include <string>

#include "base/error.h"

namespace esr {
namespace {

struct Gpu {
  const char *name;
  DeviceKind kind;
};

constexpr Gpu kGpus[] = {{"cuda", DeviceKind::kCuda}, {"tensorrt", DeviceKind::kTensorRT}};

bool is_number(const std::string &text) {
  return !text.empty() && text.size() <= 3 &&
         text.find_first_not_of("0123456789") == std::string::npos;
}

}  // namespace

Device device_of(const esr_options &options) {
  const std::string asked = options.device != nullptr ? options.device : "cpu";
  if (asked == "cpu") return {DeviceKind::kCpu, 0};
  for (const Gpu &gpu : kGpus) {
    const std::string prefix = std::string(gpu.name) + ":";
    if (asked == gpu.name) return {gpu.kind, 0};
    if (asked.substr(0, prefix.size()) != prefix) continue;
    const std::string number = asked.substr(prefix.size());
    if (is_number(number)) return {gpu.kind, std::stoi(number)};
  }
  throw Error(Status::kInvalidArgument, "device " + asked.substr(0, 20) +
                                            " is not cpu, cuda, cuda:N, tensorrt or tensorrt:N");
}

}  // namespace esr
