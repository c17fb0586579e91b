// The engine against itself: threads, tiles, sample types, borders.
#include <cmath>
#include <cstdint>
#include <vector>

#include "backends/native/engine.h"
#include "base/error.h"
#include "base/sha256.h"
#include "check.h"
#include "kernels/families.h"
#include "random_layer.h"
#include "random_picture.h"

namespace {

using namespace esr;
using namespace esr::native;
using native::Engine;

Network random_network(int scale, bool has_base, int layers_between) {
  Random random(static_cast<std::uint32_t>(scale * 10 + layers_between));
  Network network;
  network.scale = scale;
  network.has_base = has_base;
  network.has_int8 = true;
  network.layers.push_back(random_layer(5, 1, 20, &random));
  network.layers.push_back(random_layer(1, 20, 6, &random));
  for (int i = 0; i < layers_between; ++i) {
    network.layers.push_back(random_layer(3, 6, 6, &random));
  }
  network.layers.push_back(random_layer(1, 6, 20, &random));
  network.layers.push_back(random_layer(5, 20, scale * scale, &random));
  network.layers.back().activation.slope.assign(static_cast<std::size_t>(scale * scale), 1.0F);
  network.layers.front().int8.input_scale = 1.0F / 255.0F;
  network.layers.front().int8.border = -128;
  return network;
}

// The same layers on the enlarged picture, with one output.
Network enlarging_network(int scale, bool has_base) {
  Network network = random_network(scale, has_base, 2);
  Random random(7);
  network.upsamples_first = true;
  network.layers.back() = random_layer(3, 20, 1, &random);
  network.layers.back().activation.slope = {1.0F};
  return network;
}

std::vector<std::uint8_t> upscaled(Engine &engine, const Picture<std::uint8_t> &lr, int threads,
                                   int tile_size) {
  ThreadPool pool(threads);
  Picture<std::uint8_t> sr(lr.width * engine.scale(), lr.height * engine.scale(),
                           SampleType::kUint8, 8);
  engine.run(lr.view(), sr.plane(), pool, tile_size);
  return sr.samples;
}

constexpr Precision kPrecisions[] = {Precision::kFp32, Precision::kBf16, Precision::kInt8};

void check_threads_and_tiles(const Network &network) {
  for (const Precision precision : kPrecisions) {
    Engine engine(network, precision);
    for (const auto &size : {std::pair{70, 41}, {33, 50}, {1, 1}, {3, 64}, {200, 2}}) {
      const Picture<std::uint8_t> lr = random_picture(size.first, size.second);
      const std::vector<std::uint8_t> expected = upscaled(engine, lr, 1, 0);
      CHECK(upscaled(engine, lr, 2, 0) == expected);
      CHECK(upscaled(engine, lr, 7, 0) == expected);
      CHECK(upscaled(engine, lr, 1, 2 * engine.radius() + 1) == expected);
      CHECK(upscaled(engine, lr, 3, 2 * engine.radius() + 16) == expected);
    }
  }
}

TEST(result_does_not_depend_on_threads_or_tiles) {
  for (int scale = 2; scale <= 4; ++scale) check_threads_and_tiles(random_network(scale, true, 2));
}

TEST(an_enlarging_head_does_not_depend_on_threads_or_tiles) {
  for (int scale = 2; scale <= 4; ++scale) {
    check_threads_and_tiles(enlarging_network(scale, scale != 3));
  }
}

// Layers that copy the picture give the base itself, twice with the addition.
TEST(layers_behind_a_head_read_what_is_added) {
  for (int scale = 2; scale <= 4; ++scale) {
    Network base;
    base.scale = scale;
    base.has_base = true;
    Random random(3);
    base.layers = {random_layer(3, 1, 2, &random), random_layer(1, 2, scale * scale, &random)};
    for (Layer &layer : base.layers) {
      layer.weight.assign(layer.weight.size(), 0.0F);
      layer.bias.assign(layer.bias.size(), 0.0F);
      layer.activation.slope.assign(layer.bias.size(), 1.0F);
    }
    Network copying = base;
    copying.upsamples_first = true;
    copying.has_base = scale == 3;
    copying.layers.back() = random_layer(3, 2, 1, &random);
    copying.layers.back().weight.assign(18, 0.0F);
    copying.layers.back().bias = {0.0F};
    copying.layers.back().activation.slope = {1.0F};
    for (Layer &layer : copying.layers) layer.weight[4] = 1.0F;  // the centre tap
    Picture<float> lr(31, 17, SampleType::kFloat32, 8);
    for (float &sample : lr.samples) sample = random.between(0.0F, 255.0F);
    Picture<float> expected(31 * scale, 17 * scale, SampleType::kFloat32, 8);
    Picture<float> found(31 * scale, 17 * scale, SampleType::kFloat32, 8);
    ThreadPool pool(1);
    Engine(base, Precision::kFp32).run(lr.view(), expected.plane(), pool);
    Engine(copying, Precision::kFp32).run(lr.view(), found.plane(), pool);
    if (copying.has_base) {
      for (float &sample : expected.samples) sample *= 2.0F;
    }
    CHECK(found.samples == expected.samples);
  }
}

TEST(rows_may_lie_anywhere) {
  Engine engine(random_network(2, true, 1), Precision::kInt8);
  const Picture<std::uint8_t> lr = random_picture(37, 23);
  const std::vector<std::uint8_t> expected = upscaled(engine, lr, 1, 0);
  std::vector<std::uint8_t> flipped(lr.samples.size() * 2);
  for (int y = 0; y < 23; ++y) {
    for (int x = 0; x < 37; ++x) {
      flipped[static_cast<std::size_t>((22 - y) * 74 + x)] =
          lr.samples[static_cast<std::size_t>(y * 37 + x)];
    }
  }
  ThreadPool pool(1);
  Picture<std::uint8_t> sr(74, 46, SampleType::kUint8, 8);
  engine.run({flipped.data() + 22 * 74, 37, 23, -74, SampleType::kUint8, 8}, sr.plane(), pool);
  CHECK(sr.samples == expected);
}

void check_deep_samples(const Network &network) {
  for (const Precision precision : kPrecisions) {
    Engine engine(network, precision);
    ThreadPool pool(1);
    Picture<std::uint16_t> deep(40, 20, SampleType::kUint16, 10);
    Picture<float> grey(40, 20, SampleType::kFloat32, 8);
    Random random(5);
    for (std::size_t i = 0; i < deep.samples.size(); ++i) {
      deep.samples[i] = static_cast<std::uint16_t>(random.whole(0, 1023));
      grey.samples[i] = static_cast<float>(deep.samples[i]) / 4.0F;
    }
    Picture<std::uint16_t> deep_sr(80, 40, SampleType::kUint16, 10);
    Picture<float> grey_sr(80, 40, SampleType::kFloat32, 8);
    engine.run(deep.view(), deep_sr.plane(), pool);
    engine.run(grey.view(), grey_sr.plane(), pool);
    int wrong = 0;
    for (std::size_t i = 0; i < deep_sr.samples.size(); ++i) {
      const float level = std::nearbyint(grey_sr.samples[i] * 4.0F);
      const float expected = std::fmin(std::fmax(level, 0.0F), 1023.0F);
      wrong += static_cast<float>(deep_sr.samples[i]) != expected;
    }
    CHECK_EQ(wrong, 0);
  }
}

TEST(deep_samples_are_grey_levels_times_a_power_of_two) {
  check_deep_samples(random_network(2, true, 1));
  check_deep_samples(enlarging_network(2, true));
}

// One digest for all: scalar, AVX2, AVX-VNNI, AVX-512 VNNI, NEON and NEON with dot products.
TEST(int8_gives_the_same_bits_on_every_isa) {
  std::vector<std::uint8_t> all;
  for (int scale = 2; scale <= 4; ++scale) {
    Engine engine(random_network(scale, true, 2), Precision::kInt8);
    const std::vector<std::uint8_t> sr = upscaled(engine, random_picture(50, 31), 1, 0);
    all.insert(all.end(), sr.begin(), sr.end());
  }
  CHECK_EQ(sha256(all.data(), all.size()),
           std::string("b401d84f308b49813d9934149391cb4bb695e504211960372660d20f26c4b564"));
  all.clear();
  for (int scale = 2; scale <= 4; ++scale) {
    Engine engine(enlarging_network(scale, true), Precision::kInt8);
    const std::vector<std::uint8_t> sr = upscaled(engine, random_picture(50, 31), 1, 0);
    all.insert(all.end(), sr.begin(), sr.end());
  }
  CHECK_EQ(sha256(all.data(), all.size()),
           std::string("1f5d1801d222384a8724026ee541c08aef30646b7c4f279448b128af4fa6c7c0"));
}

TEST(bf16_says_that_it_runs_as_fp32_where_the_cpu_lacks_it) {
  const Engine engine(random_network(2, false, 1), Precision::kBf16);
  const bool has_bf16 = kernels::select_family(kernels::LaneType::kBf16) != nullptr;
  CHECK_EQ(engine.precision() == Precision::kBf16, has_bf16);
}

TEST(int8_without_int8_weights_is_refused) {
  Network network = random_network(2, false, 1);
  network.has_int8 = false;
  CHECK_ERROR(Engine(network, Precision::kInt8), "holds no int8 weights");
}

TEST(a_tail_with_an_activation_is_refused) {
  Network network = random_network(2, false, 1);
  network.layers.back().activation.slope[0] = 0.5F;
  CHECK_ERROR(Engine(network, Precision::kFp32), "has an activation");
}

}  // namespace

CHECK_MAIN()
