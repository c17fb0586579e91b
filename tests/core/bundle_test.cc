#include "bundle/bundle.h"

#include <filesystem>
#include <string>

#include "base/sha256.h"
#include "check.h"
#include "temporary_folder.h"

namespace {

class Folder : public TemporaryFolder {
 public:
  // A manifest that lists model.native with these facts.
  void write_manifest(const std::string &content, std::size_t bytes) const {
    const auto *data = reinterpret_cast<const std::uint8_t *>(content.data());
    write("manifest.json",
          "{\"schema_version\": 1, \"model\": \"m\", \"scale\": 2, \"channels\": \"y\","
          " \"receptive_field_radius\": 8, \"size_multiple\": 1, \"precisions\": [\"fp32\"],"
          " \"default_precision\": \"fp32\", \"files\": {\"model.native\": {\"sha256\": \"" +
              esr::sha256(data, content.size()) + "\", \"bytes\": " + std::to_string(bytes) +
              "}}}");
  }
};

esr::Status status_of(const std::string &path) {
  try {
    esr::read_bundle(path);
  } catch (const esr::Error &error) {
    return error.status();
  }
  return esr::Status::kOk;
}

}  // namespace

TEST(manifest_and_model_are_read) {
  const Folder folder;
  folder.write_manifest("content", 7);
  folder.write("model.native", "content");
  const esr::Bundle bundle = esr::read_bundle(folder.path());
  CHECK_EQ(bundle.manifest.scale, 2);
  CHECK_EQ(std::string(bundle.native_model.begin(), bundle.native_model.end()), "content");
}

TEST(missing_folder_is_an_io_error_with_its_path) {
  CHECK_ERROR(esr::read_bundle("/no/such.esr"), "bundle /no/such.esr does not exist");
  CHECK_EQ(status_of("/no/such.esr"), esr::Status::kIo);
  CHECK_EQ(status_of(""), esr::Status::kIo);
}

TEST(folder_without_manifest_is_no_bundle) {
  const Folder folder;
  CHECK_ERROR(esr::read_bundle(folder.path()), folder.path() + " is not a bundle: it holds no");
  CHECK_EQ(status_of(folder.path()), esr::Status::kModelFormat);
}

TEST(file_in_place_of_the_folder_is_an_io_error) {
  const Folder folder;
  folder.write("x.esr", "");
  CHECK_ERROR(esr::read_bundle(folder.path() + "/x.esr"), "manifest.json: Not a directory");
  std::filesystem::create_directory(folder.path() + "/manifest.json");
  CHECK_ERROR(esr::read_bundle(folder.path()), "manifest.json is not a file");
  CHECK_EQ(status_of(folder.path()), esr::Status::kIo);
}

TEST(malformed_manifest_is_refused_with_its_path) {
  const Folder folder;
  folder.write("manifest.json", "{");
  CHECK_ERROR(esr::read_bundle(folder.path()), folder.path() + "/manifest.json: not valid JSON");
  folder.write("manifest.json", std::string((1 << 20) + 1, ' '));
  CHECK_ERROR(esr::read_bundle(folder.path()),
              "manifest.json has 1048577 bytes, more than 1048576");
  folder.write("manifest.json", "");
  CHECK_ERROR(esr::read_bundle(folder.path()), "not valid JSON at byte 0");
}

TEST(bundle_without_a_native_model_says_where_the_reason_is) {
  const Folder folder;
  folder.write_manifest("content", 7);
  std::string text = folder.read("manifest.json");
  text.replace(text.find("model.native"), 12, "model.onnx");
  folder.write("manifest.json", text);
  CHECK_ERROR(esr::read_bundle(folder.path()), "holds no native model; its report.json says why");
  CHECK_EQ(status_of(folder.path()), esr::Status::kUnsupported);
}

TEST(rgb_bundle_is_refused_with_or_without_a_native_model) {
  const Folder folder;
  folder.write_manifest("content", 7);
  folder.write("model.native", "content");
  std::string text = folder.read("manifest.json");
  text.replace(text.find("\"channels\": \"y\""), 15, "\"channels\": \"rgb\"");
  folder.write("manifest.json", text);
  CHECK_ERROR(esr::read_bundle(folder.path()),
              "the bundle upscales rgb pictures; this library upscales luminance");
  CHECK_EQ(status_of(folder.path()), esr::Status::kUnsupported);
}

TEST(missing_model_is_an_io_error) {
  const Folder folder;
  folder.write_manifest("content", 7);
  CHECK_ERROR(esr::read_bundle(folder.path()), "/model.native: No such file or directory");
  CHECK_EQ(status_of(folder.path()), esr::Status::kIo);
}

TEST(damaged_model_is_refused) {
  const Folder folder;
  folder.write_manifest("content", 8);
  folder.write("model.native", "content");
  CHECK_ERROR(esr::read_bundle(folder.path()),
              "model.native has 7 bytes, the manifest says 8; the");
  folder.write_manifest("kontent", 7);
  CHECK_ERROR(esr::read_bundle(folder.path()), "model.native has sha256 ");
  CHECK_ERROR(esr::read_bundle(folder.path()), "the bundle is damaged, build it again");
  CHECK_EQ(status_of(folder.path()), esr::Status::kModelFormat);
}

CHECK_MAIN()
