// What CUDA hands out, as objects that give it back. Plugins' alone: it includes CUDA's headers.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>

#include "backends/cuda/failure.h"

namespace esr::cuda {

// The caller's thread keeps the device that it had.
class UsedDevice {
 public:
  explicit UsedDevice(int device) {
    check(cudaGetDevice(&before_));
    check(cudaSetDevice(device));
  }
  ~UsedDevice() { cudaSetDevice(before_); }
  UsedDevice(const UsedDevice &) = delete;
  UsedDevice &operator=(const UsedDevice &) = delete;

 private:
  int before_ = 0;
};

struct DeviceMemory {
  static cudaError_t allocate(void **data, std::size_t size) { return cudaMalloc(data, size); }
  static void release(void *data) { cudaFree(data); }
};

// Pinned, so that copies to and from the device need no stop in between.
struct HostMemory {
  static cudaError_t allocate(void **data, std::size_t size) { return cudaMallocHost(data, size); }
  static void release(void *data) { cudaFreeHost(data); }
};

template <class Memory>
class Buffer {
 public:
  explicit Buffer(std::size_t size) : size_(size) {
    if (size > 0) check(Memory::allocate(&data_, size));
  }
  ~Buffer() {
    if (data_ != nullptr) Memory::release(data_);
  }
  Buffer(const Buffer &) = delete;
  Buffer &operator=(const Buffer &) = delete;

  unsigned char *data() const { return static_cast<unsigned char *>(data_); }
  std::size_t size() const { return size_; }

 private:
  void *data_ = nullptr;
  std::size_t size_ = 0;
};

class Stream {
 public:
  Stream() { check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking)); }
  ~Stream() { cudaStreamDestroy(stream_); }
  Stream(const Stream &) = delete;
  Stream &operator=(const Stream &) = delete;

  cudaStream_t get() const { return stream_; }
  void wait() const { check(cudaStreamSynchronize(stream_)); }

 private:
  cudaStream_t stream_ = nullptr;
};

class Graph {
 public:
  // What `body` puts into the stream is recorded instead of run.
  template <class Body>
  Graph(const Stream &stream, const Body &body) {
    check(cudaStreamBeginCapture(stream.get(), cudaStreamCaptureModeThreadLocal));
    cudaGraph_t graph = nullptr;
    try {
      body();
    } catch (...) {
      cudaStreamEndCapture(stream.get(), &graph);
      if (graph != nullptr) cudaGraphDestroy(graph);
      throw;
    }
    check(cudaStreamEndCapture(stream.get(), &graph));
    const cudaError_t error = cudaGraphInstantiate(&executable_, graph, 0);
    cudaGraphDestroy(graph);
    check(error);
  }
  ~Graph() { cudaGraphExecDestroy(executable_); }
  Graph(const Graph &) = delete;
  Graph &operator=(const Graph &) = delete;

  void launch(const Stream &stream) const { check(cudaGraphLaunch(executable_, stream.get())); }

 private:
  cudaGraphExec_t executable_ = nullptr;
};

}  // namespace esr::cuda
