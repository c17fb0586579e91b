// The CUDA kernels, run on a CPU, against the CPU engine in fp32.
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "backends/cuda/half.h"
#include "backends/cuda/plan.h"
#include "backends/native/engine.h"
#include "backends/native/network_file.h"
#include "bundle/bundle.h"
#include "check.h"
#include "cuda_emulation/emulated_frame.h"
#include "random_layer.h"
#include "random_picture.h"

namespace {

using namespace esr;
using cuda_emulation::Order;
using native::Network;

constexpr cuda::DeviceFacts kSmall = {87, 2, 163 << 10, 164 << 10, "emulated"};

// FSRCNN(d, s, m).
struct Fsrcnn {
  int d = 56;
  int s = 12;
  int m = 4;
};

// Weights that keep the variance of what passes, so that the result depends on every layer.
void enliven(native::Layer *layer, Random *random) {
  const int inputs = layer->kernel * layer->kernel * layer->in_channels;
  const float largest = std::sqrt(3.0F / static_cast<float>(inputs));
  for (float &weight : layer->weight) weight = random->between(-largest, largest);
  for (float &bias : layer->bias) bias = random->between(-5.0F, 5.0F);
}

Network chain_network(int scale, bool has_base, const std::vector<std::array<int, 2>> &layers,
                      int tail_kernel) {
  Random random(static_cast<std::uint32_t>(scale * 100 + tail_kernel));
  Network network;
  network.scale = scale;
  network.has_base = has_base;
  int channels = 1;
  for (const auto &[kernel, outputs] : layers) {
    network.layers.push_back(random_layer(kernel, channels, outputs, &random));
    channels = outputs;
  }
  network.layers.push_back(random_layer(tail_kernel, channels, scale * scale, &random));
  network.layers.back().activation.slope.assign(static_cast<std::size_t>(scale * scale), 1.0F);
  for (native::Layer &layer : network.layers) enliven(&layer, &random);
  return network;
}

Network fsrcnn(int scale, bool has_base, Fsrcnn size) {
  std::vector<std::array<int, 2>> layers = {{5, size.d}, {1, size.s}};
  for (int i = 0; i < size.m; ++i) layers.push_back({3, size.s});
  layers.push_back({1, size.d});
  return chain_network(scale, has_base, layers, scale == 4 ? 3 : 5);
}

Network shipped(const char *bundle) {
  const std::vector<std::uint8_t> model =
      read_bundle(std::string(ESR_BUNDLES) + "/" + bundle).native_model;
  return native::parse_network(model.data(), model.size());
}

template <class Sample>
struct Difference {
  double largest = 0.0;
  double mean = 0.0;

  Difference(const Picture<Sample> &a, const Picture<Sample> &b) {
    const double unit = 1.0 / (1 << (a.bit_depth - 8));
    for (std::size_t i = 0; i < a.samples.size(); ++i) {
      const double difference =
          std::fabs(static_cast<double>(a.samples[i]) - static_cast<double>(b.samples[i])) * unit;
      // Not a number is larger than all.
      if (!(difference <= largest)) largest = difference;
      mean += difference / static_cast<double>(a.samples.size());
    }
  }
};

template <class Sample>
Picture<Sample> enlarged(const Picture<Sample> &lr, int scale) {
  return Picture<Sample>(lr.width * scale, lr.height * scale, lr.type, lr.bit_depth);
}

template <class Sample>
Picture<Sample> by_cpu(const Network &network, const Picture<Sample> &lr) {
  native::Engine engine(network, native::Precision::kFp32);
  ThreadPool pool(1);
  Picture<Sample> sr = enlarged(lr, network.scale);
  engine.run(lr.view(), sr.plane(), pool);
  return sr;
}

template <class Sample>
Picture<Sample> by_plan(const cuda::FramePlan &plan, int scale, const Picture<Sample> &lr,
                        Order order = Order::kForward) {
  Picture<Sample> sr = enlarged(lr, scale);
  cuda_emulation::run_frame(plan, lr.view(), sr.plane(), order);
  return sr;
}

template <class Sample>
Picture<Sample> by_cuda(const Network &network, const Picture<Sample> &lr) {
  const cuda::Chain chain = cuda::chain_of(network);
  return by_plan(cuda::plan_frame(chain, kSmall, lr.width, lr.height), network.scale, lr);
}

// Levels of 8 bits by which the results may differ: at most, and on average.
struct Bound {
  double largest = 1.0;
  double mean = 0.05;
};

template <class Sample>
void check_near(const Network &network, const Picture<Sample> &lr, Bound bound) {
  const Difference<Sample> difference(by_cpu(network, lr), by_cuda(network, lr));
  std::printf("     x%d%s %dx%d, %d bits: at most %.4f levels, %.5f on average\n", network.scale,
              network.has_base ? " with base" : "", lr.width, lr.height, lr.bit_depth,
              difference.largest, difference.mean);
  CHECK(difference.largest <= bound.largest);
  CHECK(difference.mean <= bound.mean);
}

// Edges, slopes and noise of all levels.
template <class Sample>
Picture<Sample> textured(int width, int height, SampleType type, int depth) {
  Picture<Sample> picture(width, height, type, depth);
  Random random(static_cast<std::uint32_t>(width * 77 + height));
  const auto peak = static_cast<float>((1 << depth) - 1);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const int shape = (x / 7 + y / 5) % 3;
      float level = shape == 0 ? random.between(0.0F, 1.0F) : shape == 1 ? 0.9F : 0.1F;
      if (y % 11 < 4) level = static_cast<float>(x) / static_cast<float>(width);
      picture.samples[static_cast<std::size_t>(y * width + x)] = static_cast<Sample>(level * peak);
    }
  }
  return picture;
}

Picture<std::uint8_t> textured(int width, int height) {
  return textured<std::uint8_t>(width, height, SampleType::kUint8, 8);
}

TEST(half_floats_round_as_another_implementation_does) {
  int wrong = 0;
  for (std::uint32_t half = 0; half < 0x7C00U; ++half) {
    const float value = cuda_emulation::float_from_half(static_cast<std::uint16_t>(half));
    const float next = cuda_emulation::float_from_half(static_cast<std::uint16_t>(half + 1));
    for (const float x : {value, (value + next) / 2, value + (next - value) * 0.51F}) {
      wrong += cuda::half_from_float(x) != cuda_emulation::half_from(x);
      wrong += cuda::half_from_float(-x) != cuda_emulation::half_from(-x);
    }
    wrong += cuda::half_from_float(value) != half;
    wrong += cuda::float_from_half(static_cast<std::uint16_t>(half)) != value;
  }
  CHECK_EQ(wrong, 0);
}

TEST(shipped_students_are_near_the_cpu_engine) {
  for (const char *bundle : {"fsrcnn-x2.esr", "fsrcnn-x3.esr", "fsrcnn-x4.esr"}) {
    check_near(shipped(bundle), textured(61, 37), {1.0, 0.03});
  }
}

TEST(both_forms_of_every_scale_are_near_the_cpu_engine) {
  for (int scale = 2; scale <= 4; ++scale) {
    for (const bool has_base : {false, true}) {
      check_near(fsrcnn(scale, has_base, {}), textured(29, 21), {});
    }
  }
}

TEST(other_sizes_of_fsrcnn_are_near_the_cpu_engine) {
  check_near(fsrcnn(2, true, {18, 12, 3}), textured(40, 17), {});
  check_near(fsrcnn(3, false, {24, 24, 8}), textured(33, 20), {});
  check_near(fsrcnn(2, true, {20, 7, 2}), textured(21, 33), {});
  check_near(fsrcnn(2, false, {64, 32, 1}), textured(18, 18), {});
}

TEST(other_plain_chains_are_near_the_cpu_engine) {
  check_near(chain_network(3, false, {{5, 64}, {3, 32}}, 3), textured(24, 19), {});
  check_near(chain_network(2, true, {{3, 16}, {3, 16}, {3, 16}}, 3), textured(35, 18), {});
  check_near(chain_network(2, true, {{9, 60}, {1, 30}, {1, 10}}, 5), textured(19, 26), {});
  check_near(chain_network(4, true, {{7, 10}, {5, 11}, {1, 12}}, 3), textured(26, 15), {});
}

TEST(every_sample_type_is_near_the_cpu_engine) {
  const Network network = fsrcnn(2, true, {24, 12, 2});
  for (const int depth : {10, 12, 16}) {
    check_near(network, textured<std::uint16_t>(31, 22, SampleType::kUint16, depth), {});
  }
  check_near(network, textured<float>(31, 22, SampleType::kFloat32, 8), {});
  check_near(shipped("fsrcnn-x2.esr"), textured<float>(31, 22, SampleType::kFloat32, 8),
             {0.5, 0.05});
}

TEST(frames_of_any_size_are_near_the_cpu_engine) {
  const Network network = fsrcnn(2, true, {18, 12, 1});
  for (const auto &size : {std::pair{1, 1}, {1, 40}, {53, 1}, {2, 3}, {7, 9}, {65, 33}}) {
    check_near(network, textured(size.first, size.second), {});
  }
}

TEST(clipped_activations_are_near_the_cpu_engine) {
  Network network = fsrcnn(2, true, {24, 12, 2});
  for (std::size_t i = 0; i + 1 < network.layers.size(); ++i) {
    native::Activation &activation = network.layers[i].activation;
    activation.has_clip = true;
    activation.low = i % 2 == 0 ? 0.0F : -20.0F;
    activation.high = 150.0F;
  }
  check_near(network, textured(30, 20), {});
}

TEST(result_does_not_depend_on_tiles_or_passes) {
  const Network network = fsrcnn(2, true, {24, 12, 2});
  const cuda::Chain chain = cuda::chain_of(network);
  const Picture<std::uint8_t> lr = textured(43, 31);
  const auto with = [&](const std::vector<int> &cuts, cuda::CoreSize core) {
    return by_plan(cuda::plan_frame_with(chain, kSmall, lr.width, lr.height, cuts, core), 2, lr);
  };
  CHECK_EQ(chain.stages.size(), std::size_t{3});
  const std::vector<std::uint8_t> expected = by_cuda(network, lr).samples;
  CHECK(with({}, {8, 8}).samples == expected);
  CHECK(with({}, {24, 16}).samples == expected);
  CHECK(with({1}, {16, 2}).samples == expected);
  CHECK(with({1, 2}, {24, 12}).samples == expected);
  CHECK(with({2}, {16, 20}).samples == expected);
}

// Warps that run in another order between barriers see what a missing barrier leaves undone.
TEST(result_does_not_depend_on_the_order_of_threads) {
  for (const bool has_base : {false, true}) {
    const Network network = fsrcnn(2, has_base, {18, 12, 2});
    const cuda::Chain chain = cuda::chain_of(network);
    const Picture<std::uint8_t> lr = textured(50, 20);
    for (const std::vector<int> &cuts : {std::vector<int>{}, std::vector<int>{2}}) {
      const cuda::FramePlan plan =
          cuda::plan_frame_with(chain, kSmall, lr.width, lr.height, cuts, {16, 8});
      CHECK(plan.passes.front().blocks < plan.passes.front().layout.tiles);
      const std::vector<std::uint8_t> expected = by_plan(plan, 2, lr).samples;
      CHECK(by_plan(plan, 2, lr, Order::kBackward).samples == expected);
      CHECK(by_plan(plan, 2, lr, Order::kShuffled).samples == expected);
    }
  }
}

TEST(rows_may_lie_anywhere) {
  const Network network = fsrcnn(2, true, {18, 12, 1});
  const Picture<std::uint8_t> lr = textured(21, 10);
  const std::vector<std::uint8_t> expected = by_cuda(network, lr).samples;
  constexpr int kPitch = 2 * 21 + 5;
  std::vector<std::uint8_t> rows(20 * kPitch, 7);
  const cuda::Chain chain = cuda::chain_of(network);
  cuda_emulation::run_frame(cuda::plan_frame(chain, kSmall, 21, 10), lr.view(),
                            {rows.data() + 19 * kPitch, 42, 20, -kPitch, SampleType::kUint8, 8});
  int wrong = 0;
  for (int y = 0; y < 20; ++y) {
    for (int x = 0; x < kPitch; ++x) {
      const int found = rows[static_cast<std::size_t>((19 - y) * kPitch + x)];
      wrong += found != (x < 42 ? expected[static_cast<std::size_t>(y * 42 + x)] : 7);
    }
  }
  CHECK_EQ(wrong, 0);
}

}  // namespace

CHECK_MAIN()
