#include "backends/cuda/load_plugin.h"

#include <dlfcn.h>

#include <string>

#include "base/error.h"

namespace esr::cuda {
namespace {

[[noreturn]] void refuse(const std::string &message) { throw Error(Status::kUnsupported, message); }

std::string text_of_error() {
  const char *text = dlerror();
  return text != nullptr ? text : "no reason is given";
}

std::string own_folder() {
  Dl_info own{};
  if (dladdr(reinterpret_cast<const void *>(&load_plugin), &own) == 0 || own.dli_fname == nullptr) {
    refuse("device cuda is not offered: the folder of this library is unknown");
  }
  const std::string path = own.dli_fname;
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

const Plugin *opened() {
  const std::string path = own_folder() + "/" + kPluginFile;
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
