// Finds a plugin at run time, and turns its answers into errors.
#pragma once

#include "backends/plugin.h"

namespace esr {

struct PluginFile {
  const char *device;  // that asks for it, such as "cuda"
  const char *vendor;  // as messages call it, such as "CUDA"
  const char *name;
  const char *entry;
};

// The table of the plugin that lies in the folder of the library or program that holds this code;
// never unloaded. Throws Error(kUnsupported) where there is none or it is of another release.
const void *load_plugin(const PluginFile &file, const PluginRelease &expected);

// Throws unless a function of the plugin answered kOk.
void check_plugin(const PluginFile &file, PluginStatus status, const PluginMessage &message);

}  // namespace esr
