// What an esr_upscaler holds, how it is opened, and how it runs checked views.
#pragma once

#include <edge_sr/edge_sr.h>

#include <memory>
#include <string>

#include "backends/engine.h"
#include "backends/native/network.h"
#include "bundle/manifest.h"
#include "image/chroma.h"
#include "image/geometry.h"
#include "threading/thread_pool.h"

struct esr_upscaler {
  std::string model;
  bool has_base;
  std::unique_ptr<esr::Engine> engine;
  esr::EngineInfo info;  // of the engine
  esr::ThreadPool pool;
  esr::ChromaUpscaler chroma;
  std::int32_t tile_size;
};

namespace esr {

// Throws Error(kInvalidArgument) for options that no network can run with.
void check_options(const esr_options &options);

std::unique_ptr<esr_upscaler> open_network(const native::Network &network, const std::string &model,
                                           const std::string &precision,
                                           const esr_options &options);

// A graph of a bundle on device tensorrt.
std::unique_ptr<esr_upscaler> open_graph(const std::string &bundle, const Manifest &manifest,
                                         const std::string &precision, const esr_options &options);

// Planes that check_frames() has accepted.
void upscale_frame(esr_upscaler &upscaler, const FramePlanes &lr, const FramePlanes &sr);

}  // namespace esr
