// From the bytes of model.native to pixels: every chain that is accepted runs, and whole frames
// equal tiled ones.
#include <cstdint>
#include <vector>

#include "backends/native/engine.h"
#include "backends/native/network_file.h"
#include "base/error.h"
#include "fuzz_target.h"

namespace {

using esr::native::Engine;
using esr::native::Network;
using esr::native::Precision;

constexpr int kWidth = 19;
constexpr int kHeight = 7;
constexpr std::int32_t kTile = 5;

// Larger ones are the same code, slower.
bool is_small(const Network &network) {
  std::size_t weights = 0;
  for (const esr::native::Layer &layer : network.layers) weights += layer.weight.size();
  return weights <= 5000 && network.radius() <= 12;
}

std::vector<std::uint8_t> upscaled(Engine *engine, esr::ThreadPool *pool, std::int32_t tile_size) {
  std::vector<std::uint8_t> lr(kWidth * kHeight);
  for (std::size_t i = 0; i < lr.size(); ++i) lr[i] = static_cast<std::uint8_t>(i * i * 7);
  const int scale = engine->scale();
  std::vector<std::uint8_t> sr(lr.size() * static_cast<std::size_t>(scale * scale));
  const esr::ConstPlane from{lr.data(), kWidth, kHeight, kWidth, esr::SampleType::kUint8, 8};
  const esr::Plane to{sr.data(),      kWidth * scale,          kHeight * scale,
                      kWidth * scale, esr::SampleType::kUint8, 8};
  engine->run(from, to, *pool, tile_size);
  return sr;
}

void run_precision(const Network &network, Precision precision) {
  try {
    Engine engine(network, precision);
    esr::ThreadPool pool(1);
    require_law(upscaled(&engine, &pool, 0) == upscaled(&engine, &pool, kTile),
                "tiled equals whole");
  } catch (const esr::Error &error) {
    require_law(error.status() == esr::Status::kUnsupported, "refused as unsupported");
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
  try {
    const Network network = esr::native::parse_network(data, size);
    if (!is_small(network)) return 0;
    for (const Precision precision : {Precision::kFp32, Precision::kBf16, Precision::kInt8}) {
      run_precision(network, precision);
    }
  } catch (const esr::Error &error) {
    require_law(error.status() == esr::Status::kModelFormat, "refused as malformed");
  }
  return 0;
}
