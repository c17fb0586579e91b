#include "backends/native/network_file.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/json.h"
#include "base/safetensors.h"

namespace esr::native {
namespace {

constexpr const char *kFormat = "edge-sr-native";
constexpr const char *kVersion = "1";

[[noreturn]] void fail(const std::string &message) { throw Error(Status::kModelFormat, message); }

const std::string &metadata_of(const SafeTensors &file, const std::string &name) {
  const auto found = file.metadata().find(name);
  if (found == file.metadata().end()) fail("metadata " + name + " is missing");
  return found->second;
}

// Tensors are taken one by one; what is left over at the end has no place in the file.
class Tensors {
 public:
  Tensors(const SafeTensors &file, std::size_t layer)
      : file_(file), prefix_(std::to_string(layer) + ".") {}

  std::vector<float> floats(const char *name, const std::vector<std::int64_t> &shape) {
    ++taken;
    return file_.floats(prefix_ + name, shape);
  }

  std::vector<std::int8_t> bytes(const char *name, const std::vector<std::int64_t> &shape) {
    ++taken;
    return file_.bytes(prefix_ + name, shape);
  }

  std::size_t taken = 0;

 private:
  const SafeTensors &file_;
  std::string prefix_;
};

Activation activation_of(const Json &entry, std::int64_t channels, Tensors *tensors) {
  Activation activation;
  activation.slope.assign(static_cast<std::size_t>(channels), 1.0F);
  const std::string &kind = entry.at("activation").as_string("activation");
  if (kind == "prelu") {
    activation.slope = tensors->floats("slope", {channels});
  } else if (kind == "clip") {
    activation.has_clip = true;
    activation.low = static_cast<float>(entry.at("low").as_number("low"));
    activation.high = static_cast<float>(entry.at("high").as_number("high"));
    const bool is_finite = std::isfinite(activation.low) && std::isfinite(activation.high);
    if (!is_finite || activation.low > activation.high) fail("clip has no range");
  } else if (kind != "none") {
    fail("activation " + kind.substr(0, 40) + " is not prelu, clip or none");
  }
  return activation;
}

bool is_positive(float value) { return value > 0.0F; }

QuantizedLayer quantized_from(const Json &entry, const std::vector<std::int64_t> &shape,
                              Tensors *tensors) {
  QuantizedLayer int8;
  int8.weight = tensors->bytes("int8.weight", shape);
  int8.weight_scale = tensors->floats("int8.weight_scale", {shape[0]});
  int8.bias = tensors->floats("int8.bias", {shape[0]});
  int8.input_scale = tensors->floats("int8.input_scale", {1}).front();
  int8.border = static_cast<std::int32_t>(entry.at("border").as_integer("border", -128, 0));
  if (int8.border != 0 && int8.border != -128) fail("border is neither -128 nor 0");
  const std::vector<float> &scales = int8.weight_scale;
  if (!is_positive(int8.input_scale) || !std::all_of(scales.begin(), scales.end(), is_positive)) {
    fail("an int8 scale is not positive");
  }
  return int8;
}

Layer layer_from(const Json &entry, Tensors *tensors) {
  Layer layer;
  layer.name = entry.at("name").as_string("name");
  if (layer.name.empty() || layer.name.size() > 100) fail("a layer's name is empty or too long");
  layer.kernel = static_cast<int>(entry.at("kernel").as_integer("kernel", 1, kMaxKernel));
  if (layer.kernel % 2 == 0) fail("kernel " + std::to_string(layer.kernel) + " is not odd");
  layer.in_channels = static_cast<int>(entry.at("in").as_integer("in", 1, kMaxChannels));
  layer.out_channels = static_cast<int>(entry.at("out").as_integer("out", 1, kMaxChannels));
  const std::vector<std::int64_t> shape = {layer.out_channels, layer.in_channels, layer.kernel,
                                           layer.kernel};
  layer.weight = tensors->floats("weight", shape);
  layer.bias = tensors->floats("bias", {layer.out_channels});
  layer.activation = activation_of(entry, layer.out_channels, tensors);
  layer.is_quantized = entry.at("int8").as_bool("int8");
  if (layer.is_quantized) layer.int8 = quantized_from(entry, shape, tensors);
  return layer;
}

bool has_base(const Json &description) {
  const std::string &base = description.at("base").as_string("base");
  if (base != "bicubic" && base != "none") fail("base is neither bicubic nor none");
  return base == "bicubic";
}

void check_chain(const Network &network) {
  int channels = 1;
  for (const Layer &layer : network.layers) {
    if (layer.in_channels != channels) {
      fail("layer " + layer.name + " reads " + std::to_string(layer.in_channels) +
           " channels of " + std::to_string(channels));
    }
    channels = layer.out_channels;
  }
  if (channels != network.scale * network.scale) {
    fail("the last layer has " + std::to_string(channels) + " outputs, scale " +
         std::to_string(network.scale) + " needs " +
         std::to_string(network.scale * network.scale));
  }
  if (network.radius() > kMaxRadius) fail("the layers reach too far");
}

}  // namespace

Network parse_network(const std::uint8_t *data, std::size_t size) {
  const SafeTensors file(data, size);
  if (metadata_of(file, "format") != kFormat) fail("not a native model of edge-sr");
  if (metadata_of(file, "version") != kVersion) {
    fail("native format version " + metadata_of(file, "version").substr(0, 20) +
         " is not 1; build the bundle with this release or update the library");
  }
  const Json description = Json::parse(metadata_of(file, "network"));
  Network network;
  network.scale = static_cast<int>(description.at("scale").as_integer("scale", 2, 4));
  network.has_base = has_base(description);
  const std::vector<Json> &layers = description.at("layers").as_array("layers");
  if (layers.empty() || layers.size() > static_cast<std::size_t>(kMaxLayers)) {
    fail(std::to_string(layers.size()) + " layers are not 1.." + std::to_string(kMaxLayers));
  }
  std::size_t taken = 0;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    Tensors tensors(file, i);
    network.layers.push_back(layer_from(layers[i], &tensors));
    network.has_int8 = network.has_int8 || network.layers.back().is_quantized;
    taken += tensors.taken;
  }
  if (taken != file.count()) {
    fail(std::to_string(file.count() - taken) + " tensors belong to no layer");
  }
  check_chain(network);
  return network;
}

}  // namespace esr::native
