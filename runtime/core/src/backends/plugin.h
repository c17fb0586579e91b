// What the tables of all plugins begin with, and how their functions answer.
#pragma once

#include <cstdint>

namespace esr {

// First in every table. A plugin fits if both numbers are the library's.
struct PluginRelease {
  std::int32_t version;
  std::int32_t layout_bytes;  // of the structs that the two hand each other
};

// Every plugin has one function that is found by name; it returns the table.
using PluginEntry = const void *(*)();

enum class PluginStatus : std::int32_t {
  kOk = 0,
  kUnsupported = 1,  // no driver, no device, or one that is too old
  kFailed = 2,       // the vendor's library refused something
  kOutOfMemory = 3,
  kModelFormat = 4,  // the model is not one that it reads
};

// Where a function puts the line that says why it failed.
struct PluginMessage {
  char text[512];
};

}  // namespace esr
