// Reads a bundle folder.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bundle/manifest.h"

namespace esr {

struct Bundle {
  Manifest manifest;
  std::vector<std::uint8_t> native_model;  // content of model.native, checked against its digest
};

// Throws Error(kIo) if the folder or a file cannot be read, Error(kModelFormat) if the manifest is
// malformed or the model is not what it says, Error(kUnsupported) without a native model.
Bundle read_bundle(const std::string &path);

}  // namespace esr
