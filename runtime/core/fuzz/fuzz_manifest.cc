// The manifest reader: any bytes are a manifest within its bounds or an Error.
#include <algorithm>
#include <string>

#include "base/error.h"
#include "bundle/manifest.h"
#include "fuzz_target.h"

namespace {

void check_bounds(const esr::Manifest &manifest) {
  require_law(manifest.scale >= 2 && manifest.scale <= 4, "scale is 2, 3 or 4");
  require_law(manifest.receptive_field_radius >= 0 && manifest.receptive_field_radius <= 256,
              "radius is bounded");
  require_law(!manifest.model.empty() && manifest.model.size() <= 400, "model has a name");
  require_law(std::count(manifest.precisions.begin(), manifest.precisions.end(),
                         manifest.default_precision) == 1,
              "default precision is present once");
  for (const auto &[name, entry] : manifest.files) {
    require_law(name.find('/') == std::string::npos && name[0] != '.', "files stay in the folder");
    require_law(entry.sha256.size() == 64, "digests are complete");
    require_law(entry.bytes <= std::size_t{256} << 20, "sizes are bounded");
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
  try {
    check_bounds(esr::parse_manifest({reinterpret_cast<const char *>(data), size}));
  } catch (const esr::Error &error) {
    require_law(error.status() == esr::Status::kModelFormat, "refused as malformed");
  }
  return 0;
}
