// The C functions over the engine. guard() is the only place that catches.
#include <edge_sr/edge_sr.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <exception>
#include <new>
#include <string>
#include <vector>

#include "api/device.h"
#include "api/precision.h"
#include "api/upscaler.h"
#include "backends/native/network_file.h"
#include "base/error.h"
#include "bundle/bundle.h"
#include "image/geometry.h"

#ifndef ESR_VERSION
#error "ESR_VERSION is the release, such as \"0.1.0\""
#endif

using esr::Error;
using esr::Status;
using esr::native::Network;

namespace {

static_assert(static_cast<int>(Status::kInvalidArgument) == ESR_ERR_INVALID_ARGUMENT);
static_assert(static_cast<int>(Status::kIo) == ESR_ERR_IO);
static_assert(static_cast<int>(Status::kModelFormat) == ESR_ERR_MODEL_FORMAT);
static_assert(static_cast<int>(Status::kUnsupported) == ESR_ERR_UNSUPPORTED);
static_assert(static_cast<int>(Status::kBackend) == ESR_ERR_BACKEND);
static_assert(static_cast<int>(Status::kOutOfMemory) == ESR_ERR_OUT_OF_MEMORY);
static_assert(static_cast<int>(Status::kInternal) == ESR_ERR_INTERNAL);

constexpr std::size_t kLongestMessage = 512;

constexpr const char *kNeedsBundle =
    "device tensorrt runs the graphs of a bundle, which a model.native does not hold; open the "
    "bundle";

// A fixed buffer, so that running out of memory can be reported too.
thread_local char last_error[kLongestMessage] = "";

esr_status remember(Status status, const char *message) noexcept {
  std::strncpy(last_error, message, kLongestMessage - 1);
  last_error[kLongestMessage - 1] = '\0';
  for (char *c = last_error; *c != '\0'; ++c) {
    if (static_cast<unsigned char>(*c) < 0x20) *c = ' ';
  }
  return static_cast<esr_status>(status);
}

template <class Body>
esr_status guard(Body &&body) noexcept {
  try {
    body();
    return ESR_OK;
  } catch (const Error &error) {
    return remember(error.status(), error.what());
  } catch (const std::bad_alloc &) {
    return remember(Status::kOutOfMemory, "out of memory");
  } catch (const std::exception &error) {
    return remember(Status::kInternal, error.what());
  } catch (...) {
    return remember(Status::kInternal, "unknown failure");
  }
}

[[noreturn]] void fail(const std::string &message) {
  throw Error(Status::kInvalidArgument, message);
}

void require(const void *pointer, const char *name) {
  if (pointer == nullptr) fail(std::string(name) + " is NULL");
}

template <class Struct>
void check_size(const Struct *value, std::size_t least, const char *name) {
  require(value, name);
  if (value->struct_size < least) {
    fail(std::string(name) + " was not filled by its init function");
  }
}

template <class Struct>
const Struct &checked(const Struct *value, const char *name) {
  check_size(value, sizeof(Struct), name);
  return *value;
}

// Sizes in version 1: a struct of an older caller ends there.
constexpr std::size_t kFirstOptions = offsetof(esr_options, device);
constexpr std::size_t kFirstInfo = offsetof(esr_info, device);

esr_options checked_options(const esr_options *options) {
  esr_options defaults;
  esr_options_init(&defaults);
  if (options == nullptr) return defaults;
  check_size(options, kFirstOptions, "options");
  std::memcpy(&defaults, options, std::min(options->struct_size, sizeof(defaults)));
  esr::check_options(defaults);
  return defaults;
}

std::string scale_mismatch(const Network &network, const esr::Manifest &manifest) {
  return "model.native upscales by " + std::to_string(network.scale) + ", the manifest says " +
         std::to_string(manifest.scale);
}

}  // namespace

extern "C" {

int32_t esr_api_version(void) { return ESR_API_VERSION; }

const char *esr_version(void) { return ESR_VERSION; }

const char *esr_last_error(void) { return last_error; }

const char *esr_status_name(int32_t status) {
  switch (status) {
    case ESR_OK:
      return "ok";
    case ESR_ERR_INVALID_ARGUMENT:
      return "invalid argument";
    case ESR_ERR_IO:
      return "input or output failed";
    case ESR_ERR_MODEL_FORMAT:
      return "malformed model";
    case ESR_ERR_UNSUPPORTED:
      return "unsupported";
    case ESR_ERR_BACKEND:
      return "the system refused";
    case ESR_ERR_OUT_OF_MEMORY:
      return "out of memory";
    case ESR_ERR_INTERNAL:
      return "internal error";
  }
  return "unknown status";
}

// All defaults are zeros.
void esr_options_init_sized(esr_options *options, size_t struct_size) {
  if (options == nullptr) return;
  std::memset(static_cast<void *>(options), 0, struct_size);
  options->struct_size = struct_size;
}

void esr_info_init_sized(esr_info *info, size_t struct_size) {
  if (info == nullptr) return;
  std::memset(static_cast<void *>(info), 0, struct_size);
  info->struct_size = struct_size;
}

// In brackets they are the functions, not the macros.
void(esr_options_init)(esr_options *options) { esr_options_init_sized(options, kFirstOptions); }

void(esr_info_init)(esr_info *info) { esr_info_init_sized(info, kFirstInfo); }

void esr_plane_init(esr_plane *plane) {
  if (plane == nullptr) return;
  *plane = esr_plane{};
  plane->struct_size = sizeof(esr_plane);
  plane->bit_depth = 8;
}

void esr_frame_init(esr_frame *frame) {
  if (frame == nullptr) return;
  *frame = esr_frame{};
  frame->struct_size = sizeof(esr_frame);
  frame->format = ESR_FORMAT_YUV420P;
  frame->bit_depth = 8;
}

esr_status esr_upscaler_open(const char *bundle_path, const esr_options *options,
                             esr_upscaler **out) {
  return guard([&] {
    require(out, "out");
    *out = nullptr;
    require(bundle_path, "bundle_path");
    const esr_options given = checked_options(options);
    if (esr::device_of(given).kind == esr::DeviceKind::kTensorRT) {
      const esr::Manifest manifest = esr::read_manifest(bundle_path);
      const std::string precision = esr::precision_of(manifest, given);
      *out = esr::open_graph(bundle_path, manifest, precision, given).release();
      return;
    }
    const esr::Bundle bundle = esr::read_bundle(bundle_path);
    const std::vector<std::uint8_t> &data = bundle.native_model;
    const Network network = esr::native::parse_network(data.data(), data.size());
    if (network.scale != bundle.manifest.scale) {
      throw Error(Status::kModelFormat, scale_mismatch(network, bundle.manifest));
    }
    const std::string precision = esr::precision_of(bundle.manifest, given);
    *out = esr::open_network(network, bundle.manifest.model, precision, given).release();
  });
}

esr_status esr_upscaler_open_buffer(const void *data, size_t size, const esr_options *options,
                                    esr_upscaler **out) {
  return guard([&] {
    require(out, "out");
    *out = nullptr;
    require(data, "data");
    const esr_options given = checked_options(options);
    if (esr::device_of(given).kind == esr::DeviceKind::kTensorRT) {
      throw Error(Status::kUnsupported, kNeedsBundle);
    }
    const Network network =
        esr::native::parse_network(static_cast<const std::uint8_t *>(data), size);
    *out = esr::open_network(network, "", esr::precision_of(network, given), given).release();
  });
}

void esr_upscaler_close(esr_upscaler **upscaler) {
  if (upscaler == nullptr) return;
  delete *upscaler;
  *upscaler = nullptr;
}

esr_status esr_upscaler_get_info(const esr_upscaler *upscaler, esr_info *info) {
  return guard([&] {
    require(upscaler, "upscaler");
    check_size(info, kFirstInfo, "info");
    const esr::EngineInfo &engine = upscaler->info;
    info->scale = engine.scale;
    info->receptive_field_radius = engine.radius;
    info->num_threads = upscaler->pool.num_threads();
    info->has_base = upscaler->has_base ? 1 : 0;
    info->precision = engine.precision.c_str();
    info->isa = engine.isa.c_str();
    info->model = upscaler->model.c_str();
    if (info->struct_size >= sizeof(esr_info)) info->device = engine.device.c_str();
  });
}

esr_status esr_upscale_plane(esr_upscaler *upscaler, const esr_plane *lr, const esr_plane *sr) {
  return guard([&] {
    require(upscaler, "upscaler");
    const esr::Plane from = esr::checked_plane(checked(lr, "lr"), "lr");
    const esr::Plane to = esr::checked_plane(checked(sr, "sr"), "sr");
    esr::check_pair(from, to, upscaler->info.scale);
    upscaler->engine->run(esr::as_const(from), to, upscaler->pool, upscaler->tile_size);
  });
}

esr_status esr_upscale_device_plane(esr_upscaler *upscaler, const esr_plane *lr,
                                    const esr_plane *sr, void *stream) {
  return guard([&] {
    require(upscaler, "upscaler");
    const esr::Plane from = esr::checked_plane(checked(lr, "lr"), "lr");
    const esr::Plane to = esr::checked_plane(checked(sr, "sr"), "sr");
    esr::check_pair(from, to, upscaler->info.scale);
    upscaler->engine->enqueue(esr::as_const(from), to, stream);
  });
}

esr_status esr_upscale_frame(esr_upscaler *upscaler, const esr_frame *lr, const esr_frame *sr) {
  return guard([&] {
    require(upscaler, "upscaler");
    const esr_frame &lr_frame = checked(lr, "lr");
    const esr_frame &sr_frame = checked(sr, "sr");
    const esr::FramePlanes from = esr::checked_frame(lr_frame, "lr");
    const esr::FramePlanes to = esr::checked_frame(sr_frame, "sr");
    esr::check_frames(lr_frame, from, sr_frame, to, upscaler->info.scale);
    esr::upscale_frame(*upscaler, from, to);
  });
}

}  // extern "C"
