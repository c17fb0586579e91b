#include "api/upscaler.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "api/device.h"
#include "api/precision.h"
#include "backends/cuda/engine.h"
#include "backends/native/engine.h"
#include "backends/tensorrt/engine.h"
#include "base/error.h"
#include "base/log.h"
#include "bundle/bundle.h"
#include "threading/physical_cores.h"

namespace esr {
namespace {

using native::Network;

static_assert(static_cast<int>(LogLevel::kInfo) == ESR_LOG_INFO);
static_assert(static_cast<int>(LogLevel::kWarning) == ESR_LOG_WARNING);

constexpr std::int32_t kMostThreads = 256;

[[noreturn]] void fail(const std::string &message) {
  throw Error(Status::kInvalidArgument, message);
}

std::unique_ptr<Engine> engine_for(const Network &network, const std::string &precision,
                                   const esr_options &options) {
  const Device device = device_of(options);
  if (device.kind == DeviceKind::kCuda) {
    return std::make_unique<cuda::Engine>(network, device.number);
  }
  return std::make_unique<native::Engine>(network, native_precision(precision));
}

// The caller's callback; outlives the options.
Log log_of(const esr_options &options) {
  if (options.log == nullptr) return [](LogLevel, const std::string &) {};
  return [callback = options.log, user = options.log_user](LogLevel level,
                                                           const std::string &message) {
    callback(user, static_cast<esr_log_level>(level), message.c_str());
  };
}

int threads_of(const esr_options &options) {
  return options.num_threads > 0 ? options.num_threads : physical_cores();
}

std::string shown_engine(const EngineInfo &info, const std::string &name, int threads) {
  return name + " engine: " + info.precision + " on " + info.isa + ", " + std::to_string(threads) +
         " threads";
}

void check_tile_size(const esr_options &options, const Network &network) {
  const int least = 2 * network.radius() + 1;
  if (options.tile_size > 0 && options.tile_size < least) {
    fail("tile size " + std::to_string(options.tile_size) + " leaves no core with halo " +
         std::to_string(network.radius()) + "; use at least " + std::to_string(least) +
         ", or 0 to let the library choose");
  }
}

// Samples at the high end of their words are deeper ones whose last bits are zero.
ConstPlane deepened(const Plane &plane, int low_bits) {
  ConstPlane deep = as_const(plane);
  deep.bit_depth += low_bits;
  return deep;
}

// Moves the samples of a result to the high end of their words.
void raise_bits(const Plane &plane, std::int32_t samples, int low_bits, ThreadPool &pool) {
  constexpr std::int32_t kBand = 16;
  pool.parallel_for((plane.height - 1) / kBand + 1, [&](std::int32_t band, std::int32_t) {
    const std::int32_t end = std::min(plane.height, (band + 1) * kBand);
    for (std::int32_t y = band * kBand; y < end; ++y) {
      auto *row = reinterpret_cast<std::uint16_t *>(plane.row(y));
      for (std::int32_t x = 0; x < samples; ++x) {
        row[x] = static_cast<std::uint16_t>(row[x] << low_bits);
      }
    }
  });
}

}  // namespace

void check_options(const esr_options &options) {
  if (options.num_threads < 0 || options.num_threads > kMostThreads) {
    fail("num_threads " + std::to_string(options.num_threads) + " is not 0.." +
         std::to_string(kMostThreads));
  }
  if (options.tile_size < 0)
    fail("tile_size " + std::to_string(options.tile_size) + " is negative");
  device_of(options);
}

std::unique_ptr<esr_upscaler> open_network(const Network &network, const std::string &model,
                                           const std::string &precision,
                                           const esr_options &options) {
  check_tile_size(options, network);
  const int threads = threads_of(options);
  const Log log = log_of(options);
  std::unique_ptr<Engine> engine = engine_for(network, precision, options);
  const EngineInfo info = engine->info();
  std::unique_ptr<esr_upscaler> upscaler(new esr_upscaler{model,
                                                          network.has_base,
                                                          std::move(engine),
                                                          info,
                                                          ThreadPool(threads),
                                                          {},
                                                          options.tile_size});
  const std::string &running = info.precision;
  if (precision != running) {
    log(LogLevel::kWarning,
        precision + " is not available on this CPU; running " + running + " instead");
  }
  log(LogLevel::kInfo, shown_engine(info, "native", threads));
  return upscaler;
}

std::unique_ptr<esr_upscaler> open_graph(const std::string &bundle, const Manifest &manifest,
                                         const std::string &precision, const esr_options &options) {
  require_luminance(manifest);
  const int threads = threads_of(options);
  const Log log = log_of(options);
  auto engine = std::make_unique<tensorrt::Engine>(tensorrt::Model{bundle, manifest, precision},
                                                   device_of(options).number, log);
  const EngineInfo info = engine->info();
  std::unique_ptr<esr_upscaler> upscaler(
      new esr_upscaler{manifest.model, false, std::move(engine), info, ThreadPool(threads), {}, 0});
  log(LogLevel::kInfo, shown_engine(info, "TensorRT", threads));
  return upscaler;
}

void upscale_frame(esr_upscaler &upscaler, const FramePlanes &lr, const FramePlanes &sr) {
  ThreadPool &pool = upscaler.pool;
  const int scale = upscaler.info.scale;
  // Before the first sample is written: without memory `sr` stays as it is.
  if (lr.num_chroma > 0) upscaler.chroma.reserve(lr.chroma[0].plane.width, pool.num_threads());
  upscaler.engine->run(deepened(lr.luma, lr.low_bits), sr.luma, pool, upscaler.tile_size);
  for (int c = 0; c < lr.num_chroma; ++c) {
    upscaler.chroma.run({deepened(lr.chroma[c].plane, lr.low_bits), lr.chroma[c].step},
                        sr.chroma[c], scale, lr.phase, pool);
  }
  if (sr.low_bits == 0) return;
  raise_bits(sr.luma, sr.luma.width, sr.low_bits, pool);
  raise_bits(sr.chroma[0].plane, 2 * sr.chroma[0].plane.width, sr.low_bits, pool);
}

}  // namespace esr
