#include "base/safetensors.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/json.h"
#include "base/text.h"

namespace esr {
namespace {

constexpr std::size_t kLengthBytes = 8;
constexpr std::size_t kLargestHeader = std::size_t{1} << 20;
constexpr std::size_t kMostSides = 4;
constexpr std::int64_t kLargestSide = std::int64_t{1} << 24;
constexpr std::int64_t kLargestFile = std::int64_t{256} << 20;

[[noreturn]] void fail(const std::string &message) { throw Error(Status::kModelFormat, message); }

std::size_t header_length(const std::uint8_t *data, std::size_t size) {
  if (size < kLengthBytes) {
    fail("a file of " + std::to_string(size) + " bytes is no safetensors file; it is cut off");
  }
  std::uint64_t length = 0;
  for (std::size_t i = 0; i < kLengthBytes; ++i) {
    length |= static_cast<std::uint64_t>(data[i]) << (8 * i);
  }
  if (length > kLargestHeader || length > size - kLengthBytes) {
    fail("a header of " + std::to_string(length) + " bytes does not fit into " +
         std::to_string(size) + " bytes; the file is cut off or no safetensors file");
  }
  return static_cast<std::size_t>(length);
}

std::string text_of(const std::vector<std::int64_t> &shape) {
  std::string text = "[";
  for (const std::int64_t side : shape) {
    if (text.size() > 1) text += ",";
    text += std::to_string(side);
  }
  return text + "]";
}

}  // namespace

SafeTensors::SafeTensors(const std::uint8_t *data, std::size_t size) {
  const std::size_t length = header_length(data, size);
  values_ = data + kLengthBytes + length;
  const Json header =
      Json::parse(std::string_view(reinterpret_cast<const char *>(data) + kLengthBytes, length));
  for (const Json::Member &member : header.as_object("the header")) {
    if (member.first == "__metadata__") {
      read_metadata(member.second);
    } else {
      read_tensor(member.first, member.second);
    }
  }
  check_layout(size - kLengthBytes - length);
}

void SafeTensors::read_metadata(const Json &values) {
  for (const Json::Member &entry : values.as_object("__metadata__")) {
    metadata_[entry.first] = entry.second.as_string("a metadata value");
  }
}

void SafeTensors::read_tensor(const std::string &name, const Json &entry) {
  const std::string &type = entry.at("dtype").as_string("dtype");
  if (type != "F32" && type != "I8") {
    fail("tensor " + shown(name) + " is " + shown(type) + ", not F32 or I8");
  }
  Tensor tensor;
  tensor.is_float = type == "F32";
  for (const Json &side : entry.at("shape").as_array("shape")) {
    tensor.shape.push_back(side.as_integer("a side of a shape", 1, kLargestSide));
  }
  const std::vector<Json> &offsets = entry.at("data_offsets").as_array("data_offsets");
  if (offsets.size() != 2 || tensor.shape.size() > kMostSides) {
    fail("tensor " + shown(name) + " has not two offsets or more than 4 dimensions");
  }
  tensor.begin = static_cast<std::size_t>(offsets[0].as_integer("an offset", 0, kLargestFile));
  tensor.end = static_cast<std::size_t>(offsets[1].as_integer("an offset", 0, kLargestFile));
  tensors_[name] = std::move(tensor);
}

// Each tensor has the bytes of its shape, and together they cover the data without gap or overlap.
void SafeTensors::check_layout(std::size_t size) const {
  std::vector<std::pair<std::size_t, std::size_t>> spans;
  for (const auto &[name, tensor] : tensors_) {
    std::int64_t bytes = tensor.is_float ? 4 : 1;
    for (const std::int64_t side : tensor.shape) {
      if (bytes > kLargestFile / side) fail("tensor " + shown(name) + " is too large");
      bytes *= side;
    }
    if (tensor.end < tensor.begin || tensor.end - tensor.begin != static_cast<std::size_t>(bytes)) {
      fail("tensor " + shown(name) + " of shape " + text_of(tensor.shape) +
           " does not fill its offsets");
    }
    spans.emplace_back(tensor.begin, tensor.end);
  }
  std::sort(spans.begin(), spans.end());
  std::size_t end = 0;
  for (const auto &span : spans) {
    if (span.first != end) fail("tensors overlap or leave a gap at byte " + std::to_string(end));
    end = span.second;
  }
  if (end != size) {
    fail("tensors end at byte " + std::to_string(end) + " of " + std::to_string(size));
  }
}

const SafeTensors::Tensor &SafeTensors::find(const std::string &name,
                                             const std::vector<std::int64_t> &shape,
                                             bool is_float) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) fail("tensor " + shown(name) + " is missing");
  const Tensor &tensor = found->second;
  if (tensor.is_float != is_float || tensor.shape != shape) {
    fail("tensor " + shown(name) + " is " + (tensor.is_float ? "F32 " : "I8 ") +
         text_of(tensor.shape) + ", expected " + (is_float ? "F32 " : "I8 ") + text_of(shape));
  }
  return tensor;
}

std::vector<float> SafeTensors::floats(const std::string &name,
                                       const std::vector<std::int64_t> &shape) const {
  const Tensor &tensor = find(name, shape, true);
  std::vector<float> values((tensor.end - tensor.begin) / sizeof(float));
  std::memcpy(values.data(), values_ + tensor.begin, tensor.end - tensor.begin);
  if (!std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); })) {
    fail("tensor " + shown(name) + " holds values that are not finite");
  }
  return values;
}

std::vector<std::int8_t> SafeTensors::bytes(const std::string &name,
                                            const std::vector<std::int64_t> &shape) const {
  const Tensor &tensor = find(name, shape, false);
  std::vector<std::int8_t> values(tensor.end - tensor.begin);
  std::memcpy(values.data(), values_ + tensor.begin, values.size());
  return values;
}

}  // namespace esr
