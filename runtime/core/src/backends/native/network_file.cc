#include "backends/native/network_file.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/json.h"
#include "base/safetensors.h"
#include "base/text.h"

namespace esr::native {
namespace {

constexpr const char *kFormat = "edge-sr-native";
// Version 2 adds `head`; a library that knows only 1 would run the layers on the LR picture.
constexpr const char *kVersion = "1";
constexpr const char *kHeadVersion = "2";
constexpr std::size_t kLongestName = 100;
constexpr double kMaxInt8Value = 2147483648.0;  // 2^31

[[noreturn]] void fail(const std::string &message) { throw Error(Status::kModelFormat, message); }

const std::string &metadata_of(const SafeTensors &file, const std::string &name) {
  const auto found = file.metadata().find(name);
  if (found == file.metadata().end()) fail("metadata " + name + " is missing");
  return found->second;
}

// The tensors of one layer. They are counted, since the file may hold no others.
class Tensors {
 public:
  Tensors(const SafeTensors &file, std::size_t layer)
      : file_(file), prefix_(std::to_string(layer) + ".") {}

  std::vector<float> floats(const char *name, const std::vector<std::int64_t> &shape) {
    ++taken_;
    return file_.floats(prefix_ + name, shape);
  }

  std::vector<std::int8_t> bytes(const char *name, const std::vector<std::int64_t> &shape) {
    ++taken_;
    return file_.bytes(prefix_ + name, shape);
  }

  std::size_t taken() const { return taken_; }

 private:
  const SafeTensors &file_;
  std::string prefix_;
  std::size_t taken_ = 0;
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
    if (!is_finite || activation.low > activation.high) {
      fail("clip from " + std::to_string(activation.low) + " to " +
           std::to_string(activation.high) + " is no range");
    }
  } else if (kind != "none") {
    fail("activation '" + shown(kind) + "' is not prelu, clip or none");
  }
  return activation;
}

// Products of two such scales neither vanish nor overflow.
bool is_scale(float value) { return value >= 1e-15F && value <= 1e15F; }

QuantizedLayer quantized_from(const Json &entry, const std::vector<std::int64_t> &shape,
                              Tensors *tensors) {
  QuantizedLayer int8;
  int8.weight = tensors->bytes("int8.weight", shape);
  int8.weight_scale = tensors->floats("int8.weight_scale", {shape[0]});
  int8.bias = tensors->floats("int8.bias", {shape[0]});
  int8.input_scale = tensors->floats("int8.input_scale", {1}).front();
  int8.border = static_cast<std::int32_t>(entry.at("border").as_integer("border", -128, 0));
  if (int8.border != 0 && int8.border != -128) {
    fail("border " + std::to_string(int8.border) + " is neither -128 nor 0");
  }
  const std::vector<float> &scales = int8.weight_scale;
  if (!is_scale(int8.input_scale) || !std::all_of(scales.begin(), scales.end(), is_scale)) {
    fail("an int8 scale is not within 1e-15..1e15");
  }
  // Products of two channels are summed in int16 on plain NEON, which this weight could overflow.
  if (std::find(int8.weight.begin(), int8.weight.end(), -128) != int8.weight.end()) {
    fail("an int8 weight is -128; symmetric weights are -127..127");
  }
  return int8;
}

Layer layer_from(const Json &entry, Tensors *tensors) {
  Layer layer;
  layer.name = entry.at("name").as_string("name");
  if (layer.name.empty() || layer.name.size() > kLongestName) {
    fail("its name has not 1 to 100 bytes");
  }
  layer.name = shown(layer.name);
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

// Appends the layers; returns the number of tensors they take.
std::size_t add_layers(const SafeTensors &file, const std::vector<Json> &entries,
                       Network *network) {
  std::size_t taken = 0;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    Tensors tensors(file, i);
    try {
      network->layers.push_back(layer_from(entries[i], &tensors));
    } catch (const Error &error) {
      throw Error(error.status(), "layer " + std::to_string(i) + ": " + error.what());
    }
    network->has_int8 = network->has_int8 || network->layers.back().is_quantized;
    taken += tensors.taken();
  }
  return taken;
}

// Largest absolute sum of an INT8 convolution, as a real value in units of `unit`.
double largest_value(const Layer &layer, std::size_t channel, double unit) {
  const std::size_t count = layer.int8.weight.size() / layer.int8.weight_scale.size();
  const std::int8_t *weight = layer.int8.weight.data() + channel * count;
  double sum = 0.0;
  for (std::size_t i = 0; i < count; ++i) sum += 128.0 * std::abs(weight[i]);
  const double multiplier = static_cast<double>(layer.int8.input_scale) *
                            static_cast<double>(layer.int8.weight_scale[channel]);
  const double value = sum * multiplier + std::abs(static_cast<double>(layer.int8.bias[channel]));
  const double slope = std::abs(static_cast<double>(layer.activation.slope[channel]));
  return value / unit * std::max(1.0, slope);
}

// Before it is rounded and saturated, an INT8 value must fit into 32 bits: some CPUs turn a larger
// one into the smallest.
void check_int8_reach(const Network &network) {
  for (std::size_t i = 0; i + 1 < network.layers.size(); ++i) {
    const Layer &layer = network.layers[i];
    const Layer &next = network.layers[i + 1];
    if (!layer.is_quantized || !next.is_quantized) continue;
    for (std::size_t channel = 0; channel < layer.int8.bias.size(); ++channel) {
      if (largest_value(layer, channel, next.int8.input_scale) < kMaxInt8Value) continue;
      fail("layer " + layer.name + " exceeds the int8 range of the next by more than 2^24");
    }
  }
}

bool has_base(const Json &description) {
  const std::string &base = description.at("base").as_string("base");
  if (base != "bicubic" && base != "none")
    fail("base '" + shown(base) + "' is not bicubic or none");
  return base == "bicubic";
}

// What the layers read: the picture, or its bicubic enlargement.
bool upsamples_first(const Json &description, const std::string &version) {
  if (version == kVersion) {
    if (description.find("head") != nullptr) fail("native format version 1 has no head");
    return false;
  }
  const std::string &head = description.at("head").as_string("head");
  if (head != "bicubic" && head != "none")
    fail("head '" + shown(head) + "' is not bicubic or none");
  return head == "bicubic";
}

void check_chain(const Network &network) {
  int channels = 1;
  for (const Layer &layer : network.layers) {
    if (layer.in_channels != channels) {
      fail("layer " + layer.name + " reads " + std::to_string(layer.in_channels) + " channels of " +
           std::to_string(channels));
    }
    channels = layer.out_channels;
  }
  if (channels != network.phases()) {
    const std::string what = network.upsamples_first ? "a chain behind an enlargement"
                                                     : "scale " + std::to_string(network.scale);
    fail("the last layer has " + std::to_string(channels) + " outputs, " + what + " needs " +
         std::to_string(network.phases()));
  }
  if (network.layer_radius() > kMaxRadius) {
    fail("the layers see " + std::to_string(network.layer_radius()) + " pixels far, more than " +
         std::to_string(kMaxRadius));
  }
}

// Returns the version.
const std::string &check_format(const SafeTensors &file) {
  if (metadata_of(file, "format") != kFormat) fail("not a native model of edge-sr");
  const std::string &version = metadata_of(file, "version");
  if (version != kVersion && version != kHeadVersion) {
    fail("native format version " + shown(version) + " is not " + kVersion + " or " + kHeadVersion +
         "; build the bundle with this release or update the library");
  }
  return version;
}

}  // namespace

Network parse_network(const std::uint8_t *data, std::size_t size) {
  const SafeTensors file(data, size);
  const std::string &version = check_format(file);
  const Json description = Json::parse(metadata_of(file, "network"));
  Network network;
  network.scale = static_cast<int>(description.at("scale").as_integer("scale", 2, 4));
  network.upsamples_first = upsamples_first(description, version);
  network.has_base = has_base(description);
  const std::vector<Json> &layers = description.at("layers").as_array("layers");
  if (layers.empty() || layers.size() > static_cast<std::size_t>(kMaxLayers)) {
    fail(std::to_string(layers.size()) + " layers are not 1.." + std::to_string(kMaxLayers));
  }
  const std::size_t taken = add_layers(file, layers, &network);
  if (taken != file.count()) {
    fail(std::to_string(file.count() - taken) + " tensors belong to no layer");
  }
  check_chain(network);
  check_int8_reach(network);
  return network;
}

}  // namespace esr::native
