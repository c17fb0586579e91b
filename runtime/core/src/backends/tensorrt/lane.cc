#include "backends/tensorrt/lane.h"

#include <algorithm>
#include <cstring>

#include "backends/tensorrt/builder.h"
#include "backends/tensorrt/refusal.h"

namespace esr::tensorrt {
namespace {

constexpr std::uintptr_t kAlignment = 256;  // that TensorRT asks of a tensor's memory

Rows rows_of(const OpenRequest &request, int scale) {
  return {static_cast<std::size_t>(request.width) * static_cast<std::size_t>(scale) *
              static_cast<std::size_t>(request.sample_bytes),
          static_cast<std::size_t>(request.height) * static_cast<std::size_t>(scale)};
}

bool is_tensor(const void *data, std::int64_t stride, const Rows &rows) {
  const bool is_dense = stride == static_cast<std::int64_t>(rows.bytes) || rows.count == 1;
  return is_dense && reinterpret_cast<std::uintptr_t>(data) % kAlignment == 0;
}

// The stride of a single row has no meaning.
std::size_t pitch_of(std::int64_t stride, const Rows &rows) {
  return std::max(static_cast<std::size_t>(stride), rows.bytes);
}

std::unique_ptr<nvinfer1::IRuntime> runtime_for(const OpenRequest &request) {
  std::unique_ptr<nvinfer1::IRuntime> runtime(
      required(nvinfer1::createInferRuntime(Logger::only()), "it makes no runtime"));
  // Only plans of our own cache are read.
  runtime->setEngineHostCodeAllowed(request.has_host_code != 0);
  return runtime;
}

}  // namespace

Lane::Lane(int used_device, const OpenRequest &request)
    : device(used_device),
      lr_rows_(rows_of(request, 1)),
      sr_rows_(rows_of(request, request.scale)),
      runtime_(runtime_for(request)),
      engine_(required(runtime_->deserializeCudaEngine(request.plan.data,
                                                       static_cast<std::size_t>(request.plan.size)),
                       "it refused the plan")),
      context_(required(engine_->createExecutionContext(), "it made no execution context",
                        PluginStatus::kOutOfMemory)),
      host_lr_(lr_rows_.total()),
      host_sr_(sr_rows_.total()),
      lr_(lr_rows_.total()),
      sr_(sr_rows_.total()) {
  set_shape(request);
  // TensorRT loads kernels during the first run, which must not be recorded.
  std::memset(host_lr_.data(), 0, host_lr_.size());
  enqueue_frame();
  stream_.wait();
  try {
    graph_ = std::make_unique<cuda::Graph>(stream_, [&] { enqueue_frame(); });
  } catch (const cuda::Failure &failure) {
    goes_without = std::string("no CUDA graph, frames are launched call by call: ") +
                   cuda::text_of(failure.error);
  } catch (const Refusal &refusal) {
    goes_without = "no CUDA graph, frames are launched call by call: " + refusal.text;
  }
}

void Lane::run() {
  device_done_.hold_back(stream_.get());
  if (graph_ != nullptr) {
    graph_->launch(stream_);
  } else {
    enqueue_frame();
  }
  stream_.wait();
}

void Lane::enqueue(const DeviceFrame &frame, cudaStream_t stream) {
  device_done_.hold_back(stream);
  const bool has_lr = is_tensor(frame.lr, frame.lr_stride, lr_rows_);
  const bool has_sr = is_tensor(frame.sr, frame.sr_stride, sr_rows_);
  if (!has_lr) {
    cuda::check(cudaMemcpy2DAsync(lr_.data(), lr_rows_.bytes, frame.lr,
                                  pitch_of(frame.lr_stride, lr_rows_), lr_rows_.bytes,
                                  lr_rows_.count, cudaMemcpyDeviceToDevice, stream));
  }
  enqueue_network(has_lr ? frame.lr : lr_.data(), has_sr ? frame.sr : sr_.data(), stream);
  if (!has_sr) {
    cuda::check(cudaMemcpy2DAsync(frame.sr, pitch_of(frame.sr_stride, sr_rows_), sr_.data(),
                                  sr_rows_.bytes, sr_rows_.bytes, sr_rows_.count,
                                  cudaMemcpyDeviceToDevice, stream));
  }
  device_done_.record(stream);
}

void Lane::set_shape(const OpenRequest &request) {
  const nvinfer1::Dims lr{4, {1, 1, request.height, request.width}};
  require(context_->setInputShape(kInput, lr), "it refused the frame's size");
  const nvinfer1::Dims sr = context_->getTensorShape(kOutput);
  const std::int64_t expected[] = {1, 1, std::int64_t{request.height} * request.scale,
                                   std::int64_t{request.width} * request.scale};
  require(sr.nbDims == 4 && std::equal(sr.d, sr.d + 4, expected),
          "its result is not of the bundle's scale");
}

// From host memory to host memory.
void Lane::enqueue_frame() {
  cudaStream_t stream = stream_.get();
  cuda::check(
      cudaMemcpyAsync(lr_.data(), host_lr_.data(), lr_.size(), cudaMemcpyHostToDevice, stream));
  enqueue_network(lr_.data(), sr_.data(), stream);
  cuda::check(
      cudaMemcpyAsync(host_sr_.data(), sr_.data(), sr_.size(), cudaMemcpyDeviceToHost, stream));
}

void Lane::enqueue_network(const void *lr, void *sr, cudaStream_t stream) {
  require(context_->setInputTensorAddress(kInput, lr), "it refused the memory of lr");
  require(context_->setTensorAddress(kOutput, sr), "it refused the memory of sr");
  require(context_->enqueueV3(stream), "it failed on a frame");
}

}  // namespace esr::tensorrt
