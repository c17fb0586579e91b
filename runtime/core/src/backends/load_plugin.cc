#include "backends/load_plugin.h"

#include <dlfcn.h>
#include <unistd.h>

#include <string>

#include "base/error.h"
#include "base/file.h"

namespace esr {
namespace {

[[noreturn]] void refuse(const PluginFile &file, const std::string &why) {
  throw Error(Status::kUnsupported,
              std::string("device ") + file.device + " is not offered: " + why);
}

std::string text_of_error() {
  const char *text = dlerror();
  return text != nullptr ? text : "no reason is given";
}

// Of the library that holds this code. A program that holds it is known by its first argument,
// which may be relative to any folder; the system knows better.
std::string own_path(const PluginFile &file) {
  Dl_info own{};
  const bool is_known = dladdr(reinterpret_cast<const void *>(&load_plugin), &own) != 0;
  if (is_known && own.dli_fname != nullptr && own.dli_fname[0] == '/') return own.dli_fname;
  char path[4096];
  const ssize_t length = readlink("/proc/self/exe", path, sizeof(path));
  if (length <= 0) refuse(file, "the folder of this program is unknown");
  return std::string(path, static_cast<std::size_t>(length));
}

}  // namespace

const void *load_plugin(const PluginFile &file, const PluginRelease &expected) {
  const std::string own = own_path(file);
  const std::string path = own.substr(0, own.rfind('/') + 1) + file.name;
  void *library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    // The plugin may be there without a library that it needs.
    const std::string advice = exists(path) ? std::string()
                                            : std::string("; build the ") + file.vendor +
                                                  " plugin, which lies beside this library";
    refuse(file, text_of_error() + advice);
  }
  const auto entry = reinterpret_cast<PluginEntry>(dlsym(library, file.entry));
  const void *table = entry != nullptr ? entry() : nullptr;
  const auto *found = static_cast<const PluginRelease *>(table);
  if (found == nullptr || found->version != expected.version ||
      found->layout_bytes != expected.layout_bytes) {
    dlclose(library);
    refuse(file, path + " is of another release; build it again");
  }
  return table;
}

void check_plugin(const PluginFile &file, PluginStatus status, const PluginMessage &message) {
  const std::string text = std::string(file.vendor) + ": " + message.text;
  switch (status) {
    case PluginStatus::kOk:
      return;
    case PluginStatus::kUnsupported:
      refuse(file, message.text);
    case PluginStatus::kOutOfMemory:
      throw Error(Status::kOutOfMemory, text);
    case PluginStatus::kModelFormat:
      throw Error(Status::kModelFormat, text);
    case PluginStatus::kFailed:
      break;
  }
  throw Error(Status::kBackend, text);
}

}  // namespace esr
