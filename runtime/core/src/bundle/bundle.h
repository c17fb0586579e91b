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

// Readers throw Error(kIo) if the folder or a file cannot be read and Error(kModelFormat) if the
// manifest is malformed or a file is not what it says.

Manifest read_manifest(const std::string &folder);

// A file that the manifest lists.
std::vector<std::uint8_t> read_checked(const std::string &folder, const std::string &name,
                                       const Manifest &manifest);

// Throws Error(kUnsupported) for an RGB network: this library upscales luminance.
void require_luminance(const Manifest &manifest);

// Throws Error(kUnsupported) for an RGB network, and without a native model.
Bundle read_bundle(const std::string &path);

}  // namespace esr
