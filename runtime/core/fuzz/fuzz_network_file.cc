// The reader of model.native: any bytes are a chain within its bounds or an Error.
#include <algorithm>
#include <cmath>
#include <vector>

#include "backends/native/network_file.h"
#include "base/error.h"
#include "fuzz_target.h"

namespace {

using esr::native::Layer;
using esr::native::Network;

bool are_finite(const std::vector<float> &values) {
  return std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); });
}

void check_layer(const Layer &layer, int in_channels) {
  const auto out = static_cast<std::size_t>(layer.out_channels);
  const auto weights = out * static_cast<std::size_t>(layer.in_channels) *
                       static_cast<std::size_t>(layer.kernel * layer.kernel);
  require_law(layer.kernel % 2 == 1 && layer.kernel <= esr::native::kMaxKernel, "kernels are odd");
  require_law(layer.in_channels == in_channels, "layers chain");
  require_law(layer.weight.size() == weights && layer.bias.size() == out, "weights fill the layer");
  require_law(layer.activation.slope.size() == out, "slopes fill the layer");
  require_law(are_finite(layer.weight) && are_finite(layer.bias), "weights are finite");
  require_law(are_finite(layer.activation.slope), "slopes are finite");
  if (!layer.is_quantized) return;
  require_law(layer.int8.weight.size() == weights, "int8 weights fill the layer");
  require_law(layer.int8.bias.size() == out && layer.int8.weight_scale.size() == out,
              "int8 scales fill the layer");
  require_law(layer.int8.input_scale > 0.0F, "scales are positive");
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
  try {
    const Network network = esr::native::parse_network(data, size);
    int channels = 1;
    for (const Layer &layer : network.layers) {
      check_layer(layer, channels);
      channels = layer.out_channels;
    }
    require_law(channels == network.phases(), "the last layer has the phases");
    require_law(network.radius() <= esr::native::kMaxRadius, "the radius is bounded");
  } catch (const esr::Error &error) {
    require_law(error.status() == esr::Status::kModelFormat, "refused as malformed");
  }
  return 0;
}
