#include "api/upscaler.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "backends/cuda/engine.h"
#include "backends/native/engine.h"
#include "base/error.h"
#include "threading/physical_cores.h"

namespace esr {
namespace {

using native::Network;
using native::Precision;

constexpr std::int32_t kMostThreads = 256;
constexpr int kCpu = -1;
constexpr const char *kCuda = "cuda";

[[noreturn]] void fail(const std::string &message) {
  throw Error(Status::kInvalidArgument, message);
}

Precision precision_from(const std::string &name) {
  if (name == "fp32") return Precision::kFp32;
  if (name == "bf16") return Precision::kBf16;
  if (name == "int8") return Precision::kInt8;
  if (name == "fp16") {
    throw Error(Status::kUnsupported,
                "fp16 is for GPU engines; choose fp32, bf16 or int8, or device cuda");
  }
  fail("precision " + name.substr(0, 20) + " is not fp32, bf16 or int8");
}

// The number of the GPU that is asked for, or kCpu.
int device_of(const esr_options &options) {
  const std::string name = options.device != nullptr ? options.device : "cpu";
  if (name == "cpu") return kCpu;
  if (name == kCuda) return 0;
  const std::string prefix = std::string(kCuda) + ":";
  const std::string number =
      name.substr(0, prefix.size()) == prefix ? name.substr(prefix.size()) : "";
  const bool is_number = number.find_first_not_of("0123456789") == std::string::npos;
  if (number.empty() || number.size() > 3 || !is_number) {
    fail("device " + name.substr(0, 20) + " is not cpu, cuda or cuda:N");
  }
  return std::stoi(number);
}

// What the CUDA engine runs whatever the bundle holds: fp32 weights are always there.
std::string cuda_precision(const esr_options &options) {
  const std::string wanted = options.precision != nullptr ? options.precision : "fp16";
  if (wanted == "fp16") return wanted;
  precision_from(wanted);
  throw Error(Status::kUnsupported, "device cuda runs fp16, not " + wanted);
}

std::unique_ptr<Engine> engine_for(const Network &network, const std::string &precision,
                                   const esr_options &options) {
  const int device = device_of(options);
  if (device != kCpu) return std::make_unique<cuda::Engine>(network, device);
  return std::make_unique<native::Engine>(network, precision_from(precision));
}

void log(const esr_options &options, esr_log_level level, const std::string &message) {
  if (options.log != nullptr) options.log(options.log_user, level, message.c_str());
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

std::string precision_of(const Manifest &manifest, const esr_options &options) {
  if (device_of(options) != kCpu) return cuda_precision(options);
  if (options.precision == nullptr) {
    // fp16 exists for GPUs; the same weights run here in fp32.
    return manifest.default_precision == "fp16" ? "fp32" : manifest.default_precision;
  }
  const std::string wanted = options.precision;
  const bool needs_int8 = precision_from(wanted) == Precision::kInt8;  // fp32 weights serve bf16
  const std::vector<std::string> &present = manifest.precisions;
  if (needs_int8 && std::find(present.begin(), present.end(), wanted) == present.end()) {
    fail("the bundle holds no int8; build it with --precision int8");
  }
  return wanted;
}

std::string precision_of(const Network &network, const esr_options &options) {
  if (device_of(options) != kCpu) return cuda_precision(options);
  if (options.precision != nullptr) return options.precision;
  return network.has_int8 ? "int8" : "fp32";
}

std::unique_ptr<esr_upscaler> open_network(const Network &network, const std::string &model,
                                           const std::string &precision,
                                           const esr_options &options) {
  check_tile_size(options, network);
  const int threads = options.num_threads > 0 ? options.num_threads : physical_cores();
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
    log(options, ESR_LOG_WARNING,
        precision + " is not available on this CPU; running " + running + " instead");
  }
  log(options, ESR_LOG_INFO,
      "native engine: " + running + " on " + info.isa + ", " + std::to_string(threads) +
          " threads");
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
