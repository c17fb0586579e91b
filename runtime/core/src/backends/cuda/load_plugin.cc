#include "backends/cuda/load_plugin.h"

#include <dlfcn.h>
#include <unistd.h>

#include <string>

#include "base/error.h"

namespace esr::cuda {
namespace {

[[noreturn]] void refuse(const std::string &message) { throw Error(Status::kUnsupported, message); }

std::string text_of_error() {
  const char *text = dlerror();
  return text != nullptr ? text : "no reason is given";
}

// Of the library that holds this code. A program that holds it is known by its first argument,
// which may be relative to any folder; the system knows better.
std::string own_path() {
  Dl_info own{};
  const bool is_known = dladdr(reinterpret_cast<const void *>(&load_plugin), &own) != 0;
  if (is_known && own.dli_fname != nullptr && own.dli_fname[0] == '/') return own.dli_fname;
  char path[4096];
  const ssize_t length = readlink("/proc/self/exe", path, sizeof(path));
  if (length <= 0) refuse("device cuda is not offered: the folder of this program is unknown");
  return std::string(path, static_cast<std::size_t>(length));
}

const Plugin *opened() {
  const std::string own = own_path();
  const std::string path = own.substr(0, own.rfind('/') + 1) + kPluginFile;
  void *library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    refuse("device cuda is not offered: " + text_of_error() +
           "; build the CUDA plugin, which lies beside this library");
  }
  const auto entry = reinterpret_cast<PluginEntry>(dlsym(library, kPluginEntry));
  const Plugin *plugin = entry != nullptr ? entry() : nullptr;
  if (plugin == nullptr || plugin->version != kPluginVersion ||
      plugin->layout_bytes != static_cast<std::int32_t>(sizeof(PassLayout))) {
    dlclose(library);
    refuse("device cuda is not offered: " + path + " is of another release; build it again");
  }
  return plugin;
}

}  // namespace

const Plugin &load_plugin() {
  static const Plugin *const plugin = opened();
  return *plugin;
}

}  // namespace esr::cuda
