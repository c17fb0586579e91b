// A plan that is ready to run: a stream with an execution context, buffers and a CUDA graph.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "backends/cuda/handles.h"
#include "backends/tensorrt/plugin.h"
#include "backends/tensorrt/versions.h"

namespace esr::tensorrt {

// Marks the end of what a stream holds.
class Event {
 public:
  Event() { cuda::check(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming)); }
  ~Event() { cudaEventDestroy(event_); }
  Event(const Event &) = delete;
  Event &operator=(const Event &) = delete;

  void record(cudaStream_t stream) const { cuda::check(cudaEventRecord(event_, stream)); }
  void hold_back(cudaStream_t stream) const { cuda::check(cudaStreamWaitEvent(stream, event_, 0)); }

 private:
  cudaEvent_t event_ = nullptr;
};

// Rows of a plane, in bytes.
struct Rows {
  std::size_t bytes;
  std::size_t count;

  std::size_t total() const { return bytes * count; }
};

struct Lane {
  // On the device that is in use. Throws Refusal or cuda::Failure.
  Lane(int device, const OpenRequest &request);

  void run();
  void enqueue(const DeviceFrame &frame, cudaStream_t stream);

  HostFrame host_frame() const { return {host_lr_.data(), host_sr_.data()}; }

  const int device;
  std::string goes_without;  // one line, or empty

 private:
  void set_shape(const OpenRequest &request);
  void enqueue_frame();
  void enqueue_network(const void *lr, void *sr, cudaStream_t stream);

  const Rows lr_rows_;
  const Rows sr_rows_;
  std::unique_ptr<nvinfer1::IRuntime> runtime_;
  std::unique_ptr<nvinfer1::ICudaEngine> engine_;
  std::unique_ptr<nvinfer1::IExecutionContext> context_;
  cuda::Stream stream_;
  Event device_done_;  // work on callers' streams, before which the context is not free
  cuda::Buffer<cuda::HostMemory> host_lr_;
  cuda::Buffer<cuda::HostMemory> host_sr_;
  cuda::Buffer<cuda::DeviceMemory> lr_;
  cuda::Buffer<cuda::DeviceMemory> sr_;
  std::unique_ptr<cuda::Graph> graph_;
};

}  // namespace esr::tensorrt
