// Times luminance frames on a GPU and compares them with the CPU engine, through the C API.
//
//   bench_cuda BUNDLE [WIDTHxHEIGHT]
//
// Prints one JSON object. device_ms: a frame from device memory to device memory, between two
// events around one replay of a graph; back_to_back_ms: the same for one of many replays in a row;
// host_ms: a frame from and to the caller's memory, copies and waiting included.
#include <cuda_runtime_api.h>
#include <edge_sr/edge_sr.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

namespace {

constexpr int kWarmUp = 50;
constexpr int kSamples = 1000;
constexpr int kInARow = 100;

[[noreturn]] void fail(const std::string &message) {
  std::fprintf(stderr, "error: %s\n", message.c_str());
  std::exit(1);
}

void check(esr_status status) {
  if (status != ESR_OK) fail(esr_last_error());
}

void check(cudaError_t error) {
  if (error != cudaSuccess) fail(cudaGetErrorString(error));
}

struct Times {
  double median;
  double p99;
};

template <class Sample>
Times timed(int samples, const Sample &sample) {
  for (int i = 0; i < kWarmUp; ++i) sample();
  std::vector<double> milliseconds;
  for (int i = 0; i < samples; ++i) milliseconds.push_back(sample());
  std::sort(milliseconds.begin(), milliseconds.end());
  const std::size_t count = milliseconds.size();
  return {milliseconds[count / 2], milliseconds[count * 99 / 100]};
}

esr_upscaler *opened(const char *bundle, const char *device, const char *precision) {
  esr_options options;
  esr_options_init(&options);
  options.device = device;
  options.precision = precision;
  esr_upscaler *upscaler = nullptr;
  check(esr_upscaler_open(bundle, &options, &upscaler));
  return upscaler;
}

esr_plane plane_of(void *data, int width, int height) {
  esr_plane plane;
  esr_plane_init(&plane);
  plane.data = data;
  plane.width = width;
  plane.height = height;
  plane.stride_bytes = width;
  return plane;
}

// A texture with edges, slopes and noise.
std::vector<std::uint8_t> picture(int width, int height) {
  std::vector<std::uint8_t> samples;
  std::uint32_t noise = 1;
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      noise = noise * 1664525U + 1013904223U;
      const int edge = (x / 16 + y / 16) % 2 * 60;
      samples.push_back(static_cast<std::uint8_t>(40 + edge + x % 64 + (noise >> 24) % 16));
    }
  }
  return samples;
}

struct Frame {
  Frame(int width, int height, int scale)
      : lr(picture(width, height)), sr(lr.size() * static_cast<std::size_t>(scale * scale)) {}
  std::vector<std::uint8_t> lr;
  std::vector<std::uint8_t> sr;
};

class DeviceTimer {
 public:
  DeviceTimer(esr_upscaler *upscaler, const esr_plane &lr, const esr_plane &sr) {
    check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
    check(cudaEventCreate(&start_));
    check(cudaEventCreate(&stop_));
    check(esr_upscale_device_plane(upscaler, &lr, &sr, stream_));  // loads this size
    check(cudaStreamSynchronize(stream_));
    cudaGraph_t graph = nullptr;
    check(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal));
    check(esr_upscale_device_plane(upscaler, &lr, &sr, stream_));
    check(cudaStreamEndCapture(stream_, &graph));
    check(cudaGraphInstantiate(&graph_, graph, 0));
  }

  // Milliseconds of one of `count` replays.
  double replay(int count) const {
    check(cudaEventRecord(start_, stream_));
    for (int i = 0; i < count; ++i) check(cudaGraphLaunch(graph_, stream_));
    check(cudaEventRecord(stop_, stream_));
    check(cudaEventSynchronize(stop_));
    float milliseconds = 0.0F;
    check(cudaEventElapsedTime(&milliseconds, start_, stop_));
    return static_cast<double>(milliseconds) / count;
  }

 private:
  cudaStream_t stream_ = nullptr;
  cudaEvent_t start_ = nullptr;
  cudaEvent_t stop_ = nullptr;
  cudaGraphExec_t graph_ = nullptr;
};

int largest_difference(const std::vector<std::uint8_t> &a, const std::vector<std::uint8_t> &b) {
  int largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(a[i] - b[i]));
  return largest;
}

}  // namespace

int main(int argc, char **argv) {
  int width = 640;
  int height = 360;
  if (argc < 2 || argc > 3) fail("usage: bench_cuda BUNDLE [WIDTHxHEIGHT]");
  if (argc > 2 && std::sscanf(argv[2], "%dx%d", &width, &height) != 2) {
    fail("a size is WIDTHxHEIGHT, such as 640x360");
  }
  if (width < 1 || height < 1 || width > 16384 || height > 16384) fail("sides are 1..16384");
  esr_upscaler *cuda = opened(argv[1], "cuda", nullptr);
  esr_upscaler *cpu = opened(argv[1], "cpu", "fp32");
  esr_info info;
  esr_info_init(&info);
  check(esr_upscaler_get_info(cuda, &info));
  const int scale = info.scale;
  Frame frame(width, height, scale);
  const esr_plane lr = plane_of(frame.lr.data(), width, height);
  const esr_plane sr = plane_of(frame.sr.data(), scale * width, scale * height);

  check(esr_upscale_plane(cpu, &lr, &sr));
  const std::vector<std::uint8_t> expected = frame.sr;
  check(esr_upscale_plane(cuda, &lr, &sr));
  const int difference = largest_difference(frame.sr, expected);

  void *device_lr = nullptr;
  void *device_sr = nullptr;
  check(cudaMalloc(&device_lr, frame.lr.size()));
  check(cudaMalloc(&device_sr, frame.sr.size()));
  check(cudaMemcpy(device_lr, frame.lr.data(), frame.lr.size(), cudaMemcpyHostToDevice));
  check(cudaDeviceSynchronize());  // the copy may still be on its way
  const DeviceTimer timer(cuda, plane_of(device_lr, width, height),
                          plane_of(device_sr, scale * width, scale * height));
  std::vector<std::uint8_t> from_device(frame.sr.size());
  const Times one = timed(kSamples, [&] { return timer.replay(1); });
  const Times row = timed(kSamples / kInARow, [&] { return timer.replay(kInARow); });
  check(cudaMemcpy(from_device.data(), device_sr, from_device.size(), cudaMemcpyDeviceToHost));
  const Times host = timed(kSamples, [&] {
    const auto start = std::chrono::steady_clock::now();
    check(esr_upscale_plane(cuda, &lr, &sr));
    const std::chrono::duration<double, std::milli> time = std::chrono::steady_clock::now() - start;
    return time.count();
  });

  cudaDeviceProp properties;
  check(cudaGetDeviceProperties(&properties, 0));
  std::printf(
      "{\"gpu\": \"%s\", \"isa\": \"%s\", \"precision\": \"%s\", \"size\": \"%dx%d\", "
      "\"scale\": %d, \"warm_up\": %d, \"samples\": %d, \"device_ms\": %.4f, "
      "\"device_p99_ms\": %.4f, \"back_to_back_ms\": %.4f, \"host_ms\": %.4f, "
      "\"host_p99_ms\": %.4f, \"host_fps\": %.1f, \"largest_difference_to_cpu_fp32\": %d, "
      "\"device_planes_equal_host_planes\": %s}\n",
      properties.name, info.isa, info.precision, width, height, scale, kWarmUp, kSamples,
      one.median, one.p99, row.median, host.median, host.p99, 1e3 / host.median, difference,
      from_device == frame.sr ? "true" : "false");
  esr_upscaler_close(&cuda);
  esr_upscaler_close(&cpu);
  return difference <= 1 ? 0 : 1;
}
