#include <cuda_runtime_api.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <map>
#include <utility>
#include <vector>

struct FakeGraph {
  std::vector<std::function<void()>> work;
};

struct FakeStream {
  FakeGraph *recorded = nullptr;
};

struct FakeEvent {};

namespace {

constexpr int kMultiprocessors = 2;
constexpr int kSharedPerBlock = 163 << 10;
constexpr int kSharedPerMultiprocessor = 164 << 10;
constexpr unsigned kMostThreads = 512;  // of a block, as the kernel's bounds allow

std::map<const char *, std::size_t> device_memory;
int shared_limit = 48 << 10;
int recording = 0;  // streams that record

bool is_on_device(const void *data, std::size_t size) {
  const auto *first = static_cast<const char *>(data);
  auto found = device_memory.upper_bound(first);
  if (found == device_memory.begin()) return false;
  --found;
  return first >= found->first && first + size <= found->first + found->second;
}

cudaError_t check_copy(const void *to, const void *from, std::size_t size, cudaMemcpyKind kind) {
  const bool goes_in = kind == cudaMemcpyHostToDevice;
  const bool is_right = is_on_device(to, size) == goes_in && is_on_device(from, size) != goes_in;
  return is_right ? cudaSuccess : cudaErrorInvalidValue;
}

cudaError_t unless_recording() {
  return recording > 0 ? cudaErrorStreamCaptureUnsupported : cudaSuccess;
}

bool is_recording(cudaStream_t stream) { return stream != nullptr && stream->recorded != nullptr; }

cudaError_t put(cudaStream_t stream, std::function<void()> work) {
  if (is_recording(stream)) {
    stream->recorded->work.push_back(std::move(work));
    return cudaSuccess;
  }
  try {
    work();
    return cudaSuccess;
  } catch (const std::exception &error) {
    std::fprintf(stderr, "kernel: %s\n", error.what());
    return cudaErrorLaunchFailure;
  }
}

cudaError_t allocated(void **data, std::size_t size) {
  if (recording > 0) return cudaErrorStreamCaptureUnsupported;
  *data = std::aligned_alloc(256, (size + 255) / 256 * 256);
  if (*data == nullptr) return cudaErrorMemoryAllocation;
  std::memset(*data, 0xFF, size);
  return cudaSuccess;
}

}  // namespace

cudaError_t cudaGetLastError() { return cudaSuccess; }

const char *cudaGetErrorString(cudaError_t error) {
  return error == cudaErrorInvalidDevice ? "invalid device ordinal" : "an error of the fake";
}

cudaError_t cudaDriverGetVersion(int *version) {
  *version = 13000;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int *count) {
  *count = 1;
  return cudaSuccess;
}

cudaError_t cudaGetDevice(int *device) {
  *device = 0;
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) { return device == 0 ? cudaSuccess : cudaErrorInvalidDevice; }

cudaError_t cudaDeviceSynchronize() { return unless_recording(); }

cudaError_t cudaGetDeviceProperties(cudaDeviceProp *properties, int device) {
  *properties = {"emulated", 8, 7, kMultiprocessors};
  return cudaSetDevice(device);
}

cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr which, int device) {
  const bool is_of_block = which == cudaDevAttrMaxSharedMemoryPerBlockOptin;
  *value = is_of_block ? kSharedPerBlock : kSharedPerMultiprocessor;
  return cudaSetDevice(device);
}

cudaError_t cudaMalloc(void **data, std::size_t size) {
  const cudaError_t error = allocated(data, size);
  if (error == cudaSuccess) device_memory[static_cast<const char *>(*data)] = size;
  return error;
}

cudaError_t cudaFree(void *data) {
  if (device_memory.erase(static_cast<const char *>(data)) == 0) return cudaErrorInvalidValue;
  std::free(data);
  return unless_recording();
}

cudaError_t cudaMallocHost(void **data, std::size_t size) { return allocated(data, size); }

cudaError_t cudaFreeHost(void *data) {
  std::free(data);
  return unless_recording();
}

cudaError_t cudaMemcpy(void *to, const void *from, std::size_t size, cudaMemcpyKind kind) {
  if (recording > 0) return cudaErrorStreamCaptureUnsupported;
  return cudaMemcpyAsync(to, from, size, kind, nullptr);
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, std::size_t size, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  const cudaError_t error = check_copy(to, from, size, kind);
  if (error != cudaSuccess) return error;
  return put(stream, [=] { std::memcpy(to, from, size); });
}

// The caller's planes, which one of the two is, are not known here.
cudaError_t cudaMemcpy2DAsync(void *to, std::size_t to_pitch, const void *from,
                              std::size_t from_pitch, std::size_t width, std::size_t height,
                              cudaMemcpyKind kind, cudaStream_t stream) {
  const bool is_ours =
      is_on_device(to, to_pitch * height) != is_on_device(from, from_pitch * height);
  const bool is_right =
      is_ours && kind == cudaMemcpyDeviceToDevice && width <= to_pitch && width <= from_pitch;
  if (!is_right) return cudaErrorInvalidValue;
  return put(stream, [=] {
    for (std::size_t y = 0; y < height; ++y) {
      std::memcpy(static_cast<char *>(to) + y * to_pitch,
                  static_cast<const char *>(from) + y * from_pitch, width);
    }
  });
}

// A stream's work is done at once: events mark nothing.
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned /*flags*/) {
  *event = new FakeEvent();
  return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t /*stream*/) {
  return event != nullptr ? cudaSuccess : cudaErrorInvalidValue;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t /*stream*/, cudaEvent_t event, unsigned /*flags*/) {
  return event != nullptr ? cudaSuccess : cudaErrorInvalidValue;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned /*flags*/) {
  *stream = new FakeStream();
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  delete stream;
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t /*stream*/) { return unless_recording(); }

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode /*mode*/) {
  stream->recorded = new FakeGraph();
  ++recording;
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph) {
  *graph = std::exchange(stream->recorded, nullptr);
  --recording;
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *executable, cudaGraph_t graph,
                                 unsigned /*flags*/) {
  *executable = new FakeGraph(*graph);
  return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  delete executable;
  return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  for (const std::function<void()> &work : executable->work) {
    const cudaError_t error = put(stream, work);
    if (error != cudaSuccess) return error;
  }
  return cudaSuccess;
}

cudaError_t fake_set_attribute(cudaFuncAttribute which, int value) {
  if (which != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;
  if (value > kSharedPerBlock) return cudaErrorInvalidValue;
  shared_limit = value;
  return cudaSuccess;
}

bool fake_is_recording(cudaStream_t stream) { return is_recording(stream); }

cudaError_t fake_put(cudaStream_t stream, std::function<void()> work) {
  return put(stream, std::move(work));
}

cudaError_t fake_launch(const cudaLaunchConfig_t &launch, std::function<void()> kernel) {
  const bool has_memory = launch.dynamicSmemBytes <= static_cast<std::size_t>(shared_limit);
  if (!has_memory || launch.blockDim.x > kMostThreads) return cudaErrorInvalidValue;
  const cuda_emulation::Launch shape{static_cast<int>(launch.gridDim.x),
                                     static_cast<int>(launch.blockDim.x), launch.dynamicSmemBytes};
  return put(launch.stream, [=] { cuda_emulation::launch(shape, kernel); });
}
