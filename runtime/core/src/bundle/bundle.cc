#include "bundle/bundle.h"

#include "base/error.h"
#include "base/file.h"
#include "base/sha256.h"

namespace esr {
namespace {

constexpr const char *kNativeModel = "model.native";
constexpr std::size_t kLargestManifest = std::size_t{1} << 20;

}  // namespace

Manifest read_manifest(const std::string &folder) {
  const std::string path = folder + "/manifest.json";
  if (!exists(folder)) throw Error(Status::kIo, "bundle " + folder + " does not exist");
  if (!exists(path)) {
    throw Error(Status::kModelFormat, folder + " is not a bundle: it holds no manifest.json");
  }
  const std::size_t bytes = size_of(path);
  if (bytes > kLargestManifest) {
    throw Error(Status::kModelFormat, path + " has " + std::to_string(bytes) +
                                          " bytes, more than " + std::to_string(kLargestManifest));
  }
  const std::vector<std::uint8_t> data = read_file(path, bytes);
  try {
    return parse_manifest({reinterpret_cast<const char *>(data.data()), data.size()});
  } catch (const Error &error) {
    throw Error(error.status(), path + ": " + error.what());
  }
}

std::vector<std::uint8_t> read_checked(const std::string &folder, const std::string &name,
                                       const Manifest &manifest) {
  const FileEntry &entry = manifest.file(name);
  const std::string path = folder + "/" + name;
  const std::size_t bytes = size_of(path);
  if (bytes != entry.bytes) {
    throw Error(Status::kModelFormat,
                path + " has " + std::to_string(bytes) + " bytes, the manifest says " +
                    std::to_string(entry.bytes) + "; the bundle is damaged, build it again");
  }
  std::vector<std::uint8_t> data = read_file(path, bytes);
  const std::string digest = sha256(data.data(), data.size());
  if (digest != entry.sha256) {
    throw Error(Status::kModelFormat, path + " has sha256 " + digest.substr(0, 12) +
                                          "..., the manifest says " + entry.sha256.substr(0, 12) +
                                          "...; the bundle is damaged, build it again");
  }
  return data;
}

void require_luminance(const Manifest &manifest) {
  if (manifest.channels != "y") {
    throw Error(Status::kUnsupported, "the bundle upscales " + manifest.channels +
                                          " pictures; this library upscales luminance");
  }
}

Bundle read_bundle(const std::string &path) {
  Bundle bundle;
  bundle.manifest = read_manifest(path);
  require_luminance(bundle.manifest);
  if (bundle.manifest.files.count(kNativeModel) == 0) {
    throw Error(Status::kUnsupported,
                "bundle " + path + " holds no native model; its report.json says why");
  }
  bundle.native_model = read_checked(path, kNativeModel, bundle.manifest);
  return bundle;
}

}  // namespace esr
