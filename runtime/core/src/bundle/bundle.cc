#include "bundle/bundle.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <string_view>

#include "base/error.h"
#include "base/sha256.h"

namespace esr {
namespace {

constexpr const char *kNativeModel = "model.native";
constexpr std::size_t kLargestManifest = std::size_t{1} << 20;

std::size_t size_of(const std::string &path) {
  struct stat facts {};
  if (stat(path.c_str(), &facts) != 0) {
    throw Error(Status::kIo, "cannot read " + path + ": " + std::strerror(errno));
  }
  if (!S_ISREG(facts.st_mode)) throw Error(Status::kIo, path + " is not a file");
  return static_cast<std::size_t>(facts.st_size);
}

std::vector<std::uint8_t> read_file(const std::string &path, std::size_t bytes) {
  std::vector<std::uint8_t> data(bytes);
  std::ifstream file(path, std::ios::binary);
  if (bytes > 0)
    file.read(reinterpret_cast<char *>(data.data()), static_cast<std::streamsize>(bytes));
  if (!file) throw Error(Status::kIo, "cannot read " + path);
  return data;
}

bool exists(const std::string &path) {
  struct stat facts {};
  return stat(path.c_str(), &facts) == 0 || errno != ENOENT;
}

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

std::vector<std::uint8_t> read_checked(const std::string &path, const FileEntry &entry) {
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

}  // namespace

Bundle read_bundle(const std::string &path) {
  Bundle bundle;
  bundle.manifest = read_manifest(path);
  const auto entry = bundle.manifest.files.find(kNativeModel);
  if (entry == bundle.manifest.files.end()) {
    throw Error(Status::kUnsupported,
                "bundle " + path + " holds no native model; its report.json says why");
  }
  bundle.native_model = read_checked(path + "/" + kNativeModel, entry->second);
  return bundle;
}

}  // namespace esr
