#include "backends/native/network_file.h"

#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "check.h"
#include "safetensors_writer.h"

using esr::native::Network;
using esr::native::parse_network;

namespace {

struct LayerText {
  std::string name = "layer";
  std::string kernel = "3";
  std::string in = "1";
  std::string out = "2";
  std::string rest = "\"activation\":\"prelu\",\"int8\":true,\"border\":-128";

  std::string text() const {
    return "{\"name\":" + quoted(name) + ",\"kernel\":" + kernel + ",\"in\":" + in +
           ",\"out\":" + out + "," + rest + "}";
  }
};

struct TensorValues {
  std::string name;
  std::string shape;
  std::vector<float> floats;
  std::vector<std::int8_t> bytes;
};

// Two layers at x2, 1 to 2 to 4 channels, both also in INT8; tests break one thing each.
struct Model {
  std::string format = "edge-sr-native";
  std::string version = "1";
  std::string scale = "2";
  std::string head;  // of version 2
  std::string base = "\"bicubic\"";
  LayerText first;
  LayerText last{"tail", "1", "2", "4", "\"activation\":\"none\",\"int8\":true,\"border\":0"};
  std::vector<TensorValues> tensors = {
      {"0.weight", "[2,1,3,3]", std::vector<float>(18, 0.5F), {}},
      {"0.bias", "[2]", {1, 2}, {}},
      {"0.slope", "[2]", {0.25F, 0}, {}},
      {"0.int8.weight", "[2,1,3,3]", {}, std::vector<std::int8_t>(18, -7)},
      {"0.int8.weight_scale", "[2]", {0.01F, 0.02F}, {}},
      {"0.int8.bias", "[2]", {3, 4}, {}},
      {"0.int8.input_scale", "[1]", {0.004F}, {}},
      {"1.weight", "[4,2,1,1]", std::vector<float>(8, 0.5F), {}},
      {"1.bias", "[4]", {1, 2, 3, 4}, {}},
      {"1.int8.weight", "[4,2,1,1]", {}, std::vector<std::int8_t>(8, 9)},
      {"1.int8.weight_scale", "[4]", {1, 1, 1, 1}, {}},
      {"1.int8.bias", "[4]", {0, 0, 0, 0}, {}},
      {"1.int8.input_scale", "[1]", {0.5F}, {}},
  };

  TensorValues &tensor(const std::string &name) {
    for (TensorValues &values : tensors) {
      if (values.name == name) return values;
    }
    CHECK(false);
    return tensors.front();
  }

  std::string network() const {
    const std::string head_text = head.empty() ? "" : ",\"head\":" + head;
    return "{\"scale\":" + scale + head_text + ",\"base\":" + base + ",\"layers\":[" +
           first.text() + "," + last.text() + "]}";
  }

  Bytes file(const std::string &description) const {
    SafeTensorsWriter writer;
    writer.add_metadata("format", format);
    writer.add_metadata("version", version);
    writer.add_metadata("network", description);
    for (const TensorValues &values : tensors) {
      if (values.bytes.empty()) {
        writer.add(values.name, values.shape, values.floats);
      } else {
        writer.add(values.name, values.shape, values.bytes);
      }
    }
    return writer.file();
  }
};

Network parse(const Bytes &file) { return parse_network(file.data(), file.size()); }

// The model after `change`.
Network parse_with(const std::function<void(Model *)> &change) {
  Model model;
  change(&model);
  return parse(model.file(model.network()));
}

// One layer of nothing but a description: tensors are not reached.
void check_description(const std::string &description, const std::string &message) {
  CHECK_ERROR(parse(Model().file(description)), message);
}

}  // namespace

TEST(chain_and_weights_are_read) {
  const Network network = parse_with([](Model *) {});
  CHECK_EQ(network.scale, 2);
  CHECK(network.has_base);
  CHECK(network.has_int8);
  CHECK_EQ(network.radius(), 2);
  CHECK_EQ(network.layers.size(), 2U);
  const esr::native::Layer &first = network.layers[0];
  CHECK_EQ(first.name, "layer");
  CHECK_EQ(first.kernel, 3);
  CHECK_EQ(first.out_channels, 2);
  CHECK_EQ(first.weight.size(), 18U);
  CHECK_EQ(first.bias[1], 2.0F);
  CHECK_EQ(first.activation.slope[0], 0.25F);
  CHECK_EQ(first.int8.weight[17], -7);
  CHECK_EQ(first.int8.weight_scale[1], 0.02F);
  CHECK_EQ(first.int8.bias[0], 3.0F);
  CHECK_EQ(first.int8.input_scale, 0.004F);
  CHECK_EQ(first.int8.border, -128);
  CHECK_EQ(network.layers[1].activation.slope[3], 1.0F);
}

TEST(clip_and_float_layers_are_read) {
  const Network network = parse_with([](Model *model) {
    model->first.rest = "\"activation\":\"clip\",\"low\":0,\"high\":6.5,\"int8\":false";
    model->tensors.erase(model->tensors.begin() + 2, model->tensors.begin() + 7);
  });
  CHECK(network.layers[0].activation.has_clip);
  CHECK_EQ(network.layers[0].activation.high, 6.5F);
  CHECK(!network.layers[0].is_quantized);
  CHECK(network.has_int8);
}

TEST(plain_form_without_int8_is_read) {
  const Network network = parse_with([](Model *model) {
    model->base = "\"none\"";
    model->first.rest = "\"activation\":\"none\",\"int8\":false";
    model->last.rest = model->first.rest;
    const std::vector<TensorValues> all = model->tensors;
    model->tensors = {all[0], all[1], all[7], all[8]};
  });
  CHECK(!network.has_base);
  CHECK(!network.has_int8);
  CHECK_EQ(network.radius(), 1);
}

TEST(other_formats_and_versions_are_refused) {
  CHECK_ERROR(parse_with([](Model *m) { m->format = "other"; }), "not a native model of edge-sr");
  CHECK_ERROR(
      parse_with([](Model *m) { m->version = "3"; }),
      "native format version 3 is not 1 or 2; build the bundle with this release or update");
  CHECK_ERROR(parse(file_of("{}", {})), "metadata format is missing");
}

// One output behind the enlargement, in float alone.
void enlarge_first(Model *model) {
  model->version = "2";
  model->head = "\"bicubic\"";
  model->last = {"tail", "1", "2", "1", "\"activation\":\"none\",\"int8\":false"};
  model->tensors.resize(7);
  model->tensors.push_back({"1.weight", "[1,2,1,1]", {1, 2}, {}});
  model->tensors.push_back({"1.bias", "[1]", {3}, {}});
}

TEST(a_head_is_read) {
  const Network network = parse_with(enlarge_first);
  CHECK(network.upsamples_first);
  CHECK(network.has_base);
  CHECK_EQ(network.phases(), 1);
  const Network other = parse_with([](Model *m) {
    m->version = "2";
    m->head = "\"none\"";
  });
  CHECK(!other.upsamples_first);
  CHECK_EQ(other.phases(), 4);
}

TEST(a_head_is_checked) {
  const auto with = [](const std::string &version, const std::string &head) {
    return parse_with([&](Model *m) {
      m->version = version;
      m->head = head;
    });
  };
  CHECK_ERROR(with("1", "\"bicubic\""), "native format version 1 has no head");
  CHECK_ERROR(with("1", "\"none\""), "native format version 1 has no head");
  CHECK_ERROR(with("2", ""), "head is missing");
  CHECK_ERROR(with("2", "\"lanczos\""), "head 'lanczos' is not bicubic or none");
  CHECK_ERROR(with("2", "1"), "head is not a text");
  CHECK_ERROR(with("2", "\"bicubic\""),
              "the last layer has 4 outputs, a chain behind an enlargement needs 1");
}

// What VDSR sees: 20 enlarged pixels, and the bicubic kernel beyond.
TEST(radius_behind_an_enlargement_is_counted_in_lr_pixels) {
  Network network = parse_with(enlarge_first);
  network.layers.assign(20, network.layers.front());
  constexpr int kExpected[] = {12, 8, 7};
  for (int scale = 2; scale <= 4; ++scale) {
    network.scale = scale;
    CHECK_EQ(network.layer_radius(), 20);
    CHECK_EQ(network.radius(), kExpected[scale - 2]);
  }
}

TEST(description_is_checked) {
  check_description("{", "not valid JSON");
  check_description("[]", "scale is missing");
  check_description("{\"scale\":2,\"base\":\"none\"}", "layers is missing");
  check_description("{\"scale\":2,\"base\":\"none\",\"layers\":[]}", "0 layers are not 1..64");
  check_description("{\"scale\":2,\"base\":\"none\",\"layers\":[1]}", "layer 0: name is missing");
  std::string many = "{\"scale\":2,\"base\":\"none\",\"layers\":[1";
  for (int i = 0; i < 64; ++i) many += ",1";
  check_description(many + "]}", "65 layers are not 1..64");
}

TEST(scale_and_base_are_bounded) {
  CHECK_ERROR(parse_with([](Model *m) { m->scale = "5"; }),
              "scale 5 is not a whole number in 2..4");
  CHECK_ERROR(parse_with([](Model *m) { m->scale = "1e300"; }), "scale 1e+300 is not a whole");
  CHECK_ERROR(parse_with([](Model *m) { m->base = "\"nearest\""; }),
              "base 'nearest' is not bicubic");
  CHECK_ERROR(parse_with([](Model *m) { m->base = "7"; }), "base is not a text");
}

TEST(layer_facts_are_bounded) {
  CHECK_ERROR(parse_with([](Model *m) { m->first.kernel = "4"; }), "layer 0: kernel 4 is not odd");
  CHECK_ERROR(parse_with([](Model *m) { m->first.kernel = "17"; }), "kernel 17 is not a whole");
  CHECK_ERROR(parse_with([](Model *m) { m->last.in = "0"; }),
              "layer 1: in 0 is not a whole number");
  CHECK_ERROR(parse_with([](Model *m) { m->first.out = "257"; }), "out 257 is not a whole number");
  CHECK_ERROR(parse_with([](Model *m) { m->first.out = "-2"; }), "out -2 is not a whole number");
  CHECK_ERROR(parse_with([](Model *m) { m->first.name = ""; }), "its name has not 1 to 100 bytes");
  CHECK_ERROR(parse_with([](Model *m) { m->first.name = std::string(101, 'n'); }), "its name has");
}

TEST(names_are_made_fit_for_messages) {
  const Network network = parse_with([](Model *m) { m->first.name = "a\xC3\xA9"; });
  CHECK_EQ(network.layers[0].name, "a??");
}

TEST(activations_are_checked) {
  const std::string tail = ",\"int8\":false";
  const auto with = [&](const std::string &rest) {
    return parse_with([&](Model *m) { m->first.rest = rest + tail; });
  };
  CHECK_ERROR(with("\"activation\":\"tanh\""),
              "layer 0: activation 'tanh' is not prelu, clip or none");
  CHECK_ERROR(with("\"activation\":\"clip\",\"low\":1"), "layer 0: high is missing");
  CHECK_ERROR(with("\"activation\":\"clip\",\"low\":1,\"high\":0"),
              "clip from 1.000000 to 0.000000");
  CHECK_ERROR(with("\"activation\":\"clip\",\"low\":0,\"high\":1e39"), "is no range");
  CHECK_ERROR(with("\"activation\":\"clip\",\"low\":0,\"high\":NaN"), "not valid JSON");
}

TEST(chain_must_fit_together) {
  CHECK_ERROR(parse_with([](Model *m) {
                m->last.in = "1";
                m->tensor("1.weight") = {"1.weight", "[4,1,1,1]", {1, 1, 1, 1}, {}};
                m->tensor("1.int8.weight") = {"1.int8.weight", "[4,1,1,1]", {}, {1, 1, 1, 1}};
              }),
              "layer tail reads 1 channels of 2");
  CHECK_ERROR(parse_with([](Model *m) { m->scale = "3"; }),
              "the last layer has 4 outputs, scale 3");
}

TEST(missing_unknown_and_misshapen_tensors_are_refused) {
  CHECK_ERROR(parse_with([](Model *m) { m->tensors.pop_back(); }),
              "layer 1: tensor 1.int8.input_scale is missing");
  CHECK_ERROR(parse_with([](Model *m) {
                m->tensors.push_back({"2.weight", "[1]", {1}, {}});
              }),
              "1 tensors belong to no layer");
  CHECK_ERROR(parse_with([](Model *m) { m->tensor("0.slope").shape = "[1,2]"; }),
              "layer 0: tensor 0.slope is F32 [1,2], expected F32 [2]");
  CHECK_ERROR(parse_with([](Model *m) {
                m->tensor("0.int8.weight") = {"0.int8.weight", "[18]", std::vector<float>(18), {}};
              }),
              "tensor 0.int8.weight is F32 [18], expected I8 [2,1,3,3]");
  CHECK_ERROR(parse_with([](Model *m) { m->tensor("0.bias").name = "0.weight"; }),
              "name occurs twice");
}

TEST(values_must_be_finite) {
  for (const char *name : {"0.weight", "0.bias", "0.slope", "0.int8.bias", "1.int8.weight_scale"}) {
    CHECK_ERROR(parse_with([&](Model *m) {
                  m->tensor(name).floats[1] = std::numeric_limits<float>::quiet_NaN();
                }),
                std::string(name) + " holds values that are not finite");
  }
}

TEST(weight_that_overflows_a_pair_is_refused) {
  CHECK_ERROR(parse_with([](Model *m) { m->tensor("1.int8.weight").bytes[3] = -128; }),
              "an int8 weight is -128");
  parse_with([](Model *m) { m->tensor("1.int8.weight").bytes[3] = -127; });
}

TEST(int8_scales_are_bounded) {
  for (const float scale : {0.0F, -1.0F, 1e-16F, 1e16F, 1e-45F}) {
    CHECK_ERROR(parse_with([&](Model *m) { m->tensor("0.int8.input_scale").floats[0] = scale; }),
                "layer 0: an int8 scale is not within 1e-15..1e15");
    CHECK_ERROR(parse_with([&](Model *m) { m->tensor("0.int8.weight_scale").floats[1] = scale; }),
                "layer 0: an int8 scale is not within");
  }
  CHECK_ERROR(parse_with([](Model *m) {
                m->first.rest = "\"activation\":\"prelu\",\"int8\":true,\"border\":-1";
              }),
              "layer 0: border -1 is neither -128 nor 0");
}

TEST(int8_values_must_fit_into_32_bits) {
  const std::string message = "layer layer exceeds the int8 range of the next by more than 2^24";
  CHECK_ERROR(parse_with([](Model *m) { m->tensor("0.int8.bias").floats[1] = 1.1e9F; }), message);
  CHECK_ERROR(parse_with([](Model *m) { m->tensor("0.slope").floats[0] = -1e10F; }), message);
  CHECK_ERROR(parse_with([](Model *m) { m->tensor("1.int8.input_scale").floats[0] = 1e-12F; }),
              message);
  // What leaves the last layer is not rounded to INT8.
  CHECK_EQ(parse_with([](Model *m) { m->tensor("1.int8.bias").floats[1] = 1e30F; }).scale, 2);
}

TEST(every_cut_is_refused) {
  const Model model;
  const Bytes file = model.file(model.network());
  for (std::size_t size = 0; size < file.size(); size += 7) {
    const Bytes cut(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(size));
    CHECK_ERROR(parse(cut), "");
  }
}

CHECK_MAIN()
