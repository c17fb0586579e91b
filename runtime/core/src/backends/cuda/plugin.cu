// libedge_sr_cuda: what holds a frame on the GPU, and the launches.
#include <cstdio>
#include <cstring>
#include <memory>
#include <vector>

#include "backends/cuda/handles.h"
#include "backends/cuda/pass_kernel.h"
#include "backends/cuda/plugin.h"

namespace esr::cuda {

__global__ void __launch_bounds__(32 * kMostWarps, 1)
    pass_kernel(const __grid_constant__ PassLayout pass,
                const __grid_constant__ FrameArguments frame) {
  run_pass(pass, frame);
}

namespace {

template <class Body>
PluginStatus guard(PluginMessage *message, const Body &body) noexcept {
  try {
    body();
    return PluginStatus::kOk;
  } catch (const Failure &failure) {
    std::snprintf(message->text, sizeof(message->text), "%s", text_of(failure.error));
    return status_of(failure.error);
  } catch (const std::bad_alloc &) {
    std::snprintf(message->text, sizeof(message->text), "out of memory");
    return PluginStatus::kOutOfMemory;
  }
}

// Passes of one frame size with their constants and the maps between them.
class LoadedPlan {
 public:
  explicit LoadedPlan(const PluginPlan &plan)
      : width(plan.width),
        height(plan.height),
        scale(plan.scale),
        first_map_(static_cast<std::size_t>(plan.map_bytes)),
        second_map_(plan.num_passes > 2 ? static_cast<std::size_t>(plan.map_bytes) : 0) {
    for (int i = 0; i < plan.num_passes; ++i) {
      const PluginPass &pass = plan.passes[i];
      const auto size = static_cast<std::size_t>(pass.layout.constants_bytes);
      passes_.push_back({pass.layout, pass.blocks, std::make_unique<Buffer<DeviceMemory>>(size)});
      check(cudaMemcpy(passes_.back().constants->data(), pass.constants, size,
                       cudaMemcpyHostToDevice));
    }
  }

  void launch(FrameArguments frame, cudaStream_t stream) const {
    unsigned char *const maps[] = {first_map_.data(), second_map_.data()};
    for (std::size_t i = 0; i < passes_.size(); ++i) {
      const Pass &pass = passes_[i];
      frame.constants = pass.constants->data();
      frame.input_map = maps[(i + 1) % 2];
      frame.output_map = maps[i % 2];
      cudaLaunchConfig_t launch{};
      launch.gridDim = dim3(static_cast<unsigned>(pass.blocks));
      launch.blockDim = dim3(static_cast<unsigned>(32 * pass.layout.warps));
      launch.dynamicSmemBytes = static_cast<std::size_t>(pass.layout.shared_bytes);
      launch.stream = stream;
      check(cudaLaunchKernelEx(&launch, pass_kernel, pass.layout, frame));
    }
  }

  const int width;
  const int height;
  const int scale;

 private:
  struct Pass {
    PassLayout layout;
    int blocks;
    std::unique_ptr<Buffer<DeviceMemory>> constants;
  };

  Buffer<DeviceMemory> first_map_;
  Buffer<DeviceMemory> second_map_;
  std::vector<Pass> passes_;
};

// Rows on the device begin at multiples of 16 bytes.
std::size_t row_bytes(int width, int sample_bytes) {
  return (static_cast<std::size_t>(width) * static_cast<std::size_t>(sample_bytes) + 15) / 16 * 16;
}

// A frame from host memory to host memory, as a graph of copies and launches.
class HostFrame {
 public:
  HostFrame(const LoadedPlan &plan, const FrameArguments &frame, const Stream &stream)
      : sample_bytes_(frame.sample_bytes),
        peak_(frame.peak),
        lr_row_(row_bytes(plan.width, frame.sample_bytes)),
        sr_row_(row_bytes(plan.width * plan.scale, frame.sample_bytes)),
        rows_(plan.height),
        scale_(plan.scale),
        host_lr_(lr_row_ * static_cast<std::size_t>(plan.height)),
        host_sr_(sr_row_ * static_cast<std::size_t>(plan.height * plan.scale)),
        lr_(host_lr_.size()),
        sr_(host_sr_.size()),
        graph_(stream, [&] { record(plan, frame, stream.get()); }) {}

  bool serves(const FrameArguments &frame) const {
    return frame.sample_bytes == sample_bytes_ && frame.peak == peak_;
  }

  void run(const FrameArguments &frame, const Stream &stream) const {
    const auto width = static_cast<std::size_t>(frame.width * frame.sample_bytes);
    for (int y = 0; y < rows_; ++y) {
      std::memcpy(host_lr_.data() + static_cast<std::size_t>(y) * lr_row_,
                  frame.lr + y * frame.lr_stride, width);
    }
    graph_.launch(stream);
    stream.wait();
    for (int y = 0; y < rows_ * scale_; ++y) {
      std::memcpy(frame.sr + y * frame.sr_stride,
                  host_sr_.data() + static_cast<std::size_t>(y) * sr_row_,
                  width * static_cast<std::size_t>(scale_));
    }
  }

 private:
  void record(const LoadedPlan &plan, FrameArguments frame, cudaStream_t stream) const {
    frame.lr = lr_.data();
    frame.sr = sr_.data();
    frame.lr_stride = static_cast<std::int64_t>(lr_row_);
    frame.sr_stride = static_cast<std::int64_t>(sr_row_);
    check(cudaMemcpyAsync(lr_.data(), host_lr_.data(), lr_.size(), cudaMemcpyHostToDevice, stream));
    plan.launch(frame, stream);
    check(cudaMemcpyAsync(host_sr_.data(), sr_.data(), sr_.size(), cudaMemcpyDeviceToHost, stream));
  }

  const int sample_bytes_;
  const float peak_;
  const std::size_t lr_row_;
  const std::size_t sr_row_;
  const int rows_;
  const int scale_;
  Buffer<HostMemory> host_lr_;
  Buffer<HostMemory> host_sr_;
  Buffer<DeviceMemory> lr_;
  Buffer<DeviceMemory> sr_;
  Graph graph_;
};

int attribute(cudaDeviceAttr which, int device) {
  int value = 0;
  check(cudaDeviceGetAttribute(&value, which, device));
  return value;
}

}  // namespace

struct PluginSession {
  explicit PluginSession(int device) : device(device) {
    const int largest = attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
    check(cudaFuncSetAttribute(pass_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, largest));
    // Two blocks may share a multiprocessor: as cost.cc counts, all its memory is for them.
    check(cudaFuncSetAttribute(pass_kernel, cudaFuncAttributePreferredSharedMemoryCarveout,
                               cudaSharedmemCarveoutMaxShared));
    stream = std::make_unique<Stream>();
  }

  const int device;
  std::unique_ptr<Stream> stream;
  std::unique_ptr<LoadedPlan> plan;
  std::unique_ptr<HostFrame> host_frame;  // of the sample type that came last
};

namespace {

PluginStatus describe(std::int32_t device, DeviceFacts *facts, PluginMessage *message) {
  return guard(message, [&] {
    int count = 0;
    check(cudaGetDeviceCount(&count));
    if (device >= count) throw Failure{cudaErrorInvalidDevice};
    cudaDeviceProp properties;
    check(cudaGetDeviceProperties(&properties, device));
    facts->capability = properties.major * 10 + properties.minor;
    facts->multiprocessors = properties.multiProcessorCount;
    facts->shared_per_block = attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
    facts->shared_per_multiprocessor =
        attribute(cudaDevAttrMaxSharedMemoryPerMultiprocessor, device);
    std::snprintf(facts->name, sizeof(facts->name), "%.63s", properties.name);
  });
}

PluginStatus open(std::int32_t device, PluginSession **session, PluginMessage *message) {
  return guard(message, [&] {
    const UsedDevice used(device);
    *session = new PluginSession(device);
  });
}

void close(PluginSession *session) {
  PluginMessage unread;
  guard(&unread, [&] {
    const UsedDevice used(session->device);
    cudaDeviceSynchronize();  // launches on callers' streams may still read the buffers
    delete session;
  });
}

PluginStatus load(PluginSession *session, const PluginPlan *plan, PluginMessage *message) {
  return guard(message, [&] {
    const UsedDevice used(session->device);
    check(cudaDeviceSynchronize());
    session->host_frame.reset();
    session->plan.reset();
    session->plan = std::make_unique<LoadedPlan>(*plan);
    // A copy from pageable memory may still be on its way, which other streams do not wait for.
    check(cudaDeviceSynchronize());
  });
}

PluginStatus run(PluginSession *session, const FrameArguments *frame, PluginMessage *message) {
  return guard(message, [&] {
    const UsedDevice used(session->device);
    if (!session->host_frame || !session->host_frame->serves(*frame)) {
      session->host_frame.reset();
      session->host_frame = std::make_unique<HostFrame>(*session->plan, *frame, *session->stream);
    }
    session->host_frame->run(*frame, *session->stream);
  });
}

PluginStatus enqueue(PluginSession *session, const FrameArguments *frame, void *stream,
                     PluginMessage *message) {
  return guard(message, [&] {
    const UsedDevice used(session->device);
    session->plan->launch(*frame, static_cast<cudaStream_t>(stream));
  });
}

}  // namespace
}  // namespace esr::cuda

extern "C" __attribute__((visibility("default"))) const void *esr_cuda_plugin() {
  using namespace esr::cuda;
  static const Plugin plugin = {kPluginRelease, describe, open, close, load, run, enqueue};
  return &plugin;
}
