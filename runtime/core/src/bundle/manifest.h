// manifest.json of a bundle: the part that the library needs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace esr {

struct FileEntry {
  std::string sha256;
  std::size_t bytes = 0;
};

struct Manifest {
  std::string model;
  int scale = 2;
  std::string channels;
  int receptive_field_radius = 0;  // in LR pixels
  int size_multiple = 1;           // sides must divide by this
  bool is_tileable = false;
  std::vector<std::string> precisions;
  std::string default_precision;
  std::map<std::string, FileEntry> files;

  // Throws Error(kModelFormat) for a file that is not listed.
  const FileEntry &file(const std::string &name) const;
};

// The bounds are those of runtime/manifest.py. Throws Error(kModelFormat).
Manifest parse_manifest(std::string_view text);

}  // namespace esr
