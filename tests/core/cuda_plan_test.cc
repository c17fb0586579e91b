// How the CUDA engine sees a network and cuts a frame: arithmetic, without a GPU.
#include <string>
#include <vector>

#include "backends/cuda/plan.h"
#include "backends/cuda/taps.h"
#include "base/error.h"
#include "check.h"
#include "random_layer.h"

namespace {

using namespace esr;
using cuda::FramePlan;
using cuda::PassPlan;
using native::Network;

constexpr cuda::DeviceFacts kOrin = {87, 8, 163 << 10, 164 << 10, "Orin"};
constexpr cuda::DeviceFacts kH100 = {90, 132, 227 << 10, 228 << 10, "H100"};
constexpr cuda::DeviceFacts kSmall = {86, 20, 99 << 10, 100 << 10, "small"};

Network fsrcnn(int scale, int d, int s, int m) {
  Random random(7);
  Network network;
  network.scale = scale;
  network.has_base = true;
  network.layers.push_back(random_layer(5, 1, d, &random));
  network.layers.push_back(random_layer(1, d, s, &random));
  for (int i = 0; i < m; ++i) network.layers.push_back(random_layer(3, s, s, &random));
  network.layers.push_back(random_layer(1, s, d, &random));
  network.layers.push_back(random_layer(5, d, scale * scale, &random));
  network.layers.back().activation.slope.assign(static_cast<std::size_t>(scale * scale), 1.0F);
  return network;
}

// What every plan must fulfil, whatever it costs.
void check_plan(const cuda::Chain &chain, const cuda::DeviceFacts &device, int width, int height) {
  const FramePlan plan = cuda::plan_frame(chain, device, width, height);
  CHECK(!plan.passes.empty());
  int stages = 0;
  for (std::size_t i = 0; i < plan.passes.size(); ++i) {
    const cuda::PassLayout &pass = plan.passes[i].layout;
    stages += pass.num_stages;
    CHECK_EQ(pass.from_picture, i == 0 ? 1 : 0);
    CHECK_EQ(pass.to_pixels, i + 1 == plan.passes.size() ? 1 : 0);
    CHECK_EQ(pass.constants_bytes, static_cast<int>(plan.passes[i].constants.size()));
    CHECK(pass.shared_bytes <= device.shared_per_block);
    const int columns = pass.tiles_x * pass.core_width;
    const int rows = pass.tiles / pass.tiles_x * pass.core_height;
    CHECK(columns >= width && columns - pass.core_width < width);
    CHECK(rows >= height && rows - pass.core_height < height);
    CHECK(plan.passes[i].blocks >= 1 && plan.passes[i].blocks <= pass.tiles);
    CHECK_EQ(pass.core_height % cuda::kTailRows, 0);
    CHECK(pass.input_width <= 256 && pass.input_width * pass.input_height < 4096);
    CHECK(pass.warps == cuda::kMostWarps || 2 * pass.warps == cuda::kMostWarps);
  }
  CHECK_EQ(stages, static_cast<int>(chain.stages.size()));
  CHECK((plan.map_bytes > 0) == (plan.passes.size() > 1));
}

TEST(plans_cover_every_frame_and_fit_every_device) {
  const Network networks[] = {fsrcnn(2, 56, 12, 4), fsrcnn(3, 18, 12, 3), fsrcnn(4, 24, 24, 8),
                              fsrcnn(2, 64, 32, 12)};
  for (const Network &network : networks) {
    const cuda::Chain chain = cuda::chain_of(network);
    for (const cuda::DeviceFacts &device : {kOrin, kH100, kSmall}) {
      for (const auto &size : {std::pair{640, 360}, {1, 1}, {1921, 1079}, {16384, 3}}) {
        check_plan(chain, device, size.first, size.second);
      }
    }
  }
}

TEST(pixels_of_a_region_are_found_by_its_reciprocal) {
  int wrong = 0;
  for (int width = 1; width <= 256; ++width) {
    const int reciprocal = ((1 << 20) + width - 1) / width;
    for (int index = 0; index < 4096 && index < 4096 * width; ++index) {
      const auto y = (static_cast<unsigned>(index) * static_cast<unsigned>(reciprocal)) >> 20;
      wrong += static_cast<int>(y) != index / width;
    }
  }
  CHECK_EQ(wrong, 0);
}

TEST(stages_take_the_pointwise_layer_behind) {
  const Network network = fsrcnn(2, 56, 12, 4);
  const cuda::Chain chain = cuda::chain_of(network);
  CHECK_EQ(chain.stages.size(), std::size_t{5});
  CHECK(chain.stages[0].second.layer == &network.layers[1]);
  CHECK(chain.stages[1].second.layer == nullptr);
  CHECK(chain.stages[4].second.layer == &network.layers[6]);
  CHECK(chain.tail.layer == &network.layers.back());
}

// Weights times units are what the kernel multiplies: none of them is lost in half floats.
TEST(units_follow_the_size_of_the_weights) {
  Network network = fsrcnn(2, 24, 12, 2);
  for (float &weight : network.layers[0].weight) weight *= 1e-6F;
  for (float &weight : network.layers[1].weight) weight *= 1e6F;
  for (std::size_t i = 0; i < 2; ++i)
    network.layers[i].bias.assign(network.layers[i].bias.size(), 0);
  const cuda::Chain chain = cuda::chain_of(network);
  const cuda::ScaledLayer &first = chain.stages[0].first;
  CHECK(first.unit < 1e-3F);
  CHECK_EQ(first.input_unit, cuda::kPictureUnit);
  CHECK_EQ(chain.stages[0].second.input_unit, first.unit);
  CHECK(chain.stages[0].second.unit > 1e-2F);
}

TEST(taps_fill_whole_steps) {
  for (const int kernel : {1, 3, 5, 7, 9}) {
    const cuda::Taps picture = cuda::picture_taps(kernel, 50);
    CHECK_EQ(picture.steps(), cuda::picture_steps(kernel));
    CHECK_EQ(picture.offsets.size(), picture.inputs.size() / 2);
    for (const int groups : {1, 2, 3, 7}) {
      const cuda::Taps map = cuda::map_taps(kernel + 1, kernel, groups, {40, 20, 0});
      CHECK_EQ(map.steps(), cuda::map_steps(kernel + 1, kernel, groups));
      CHECK_EQ(map.offsets.size(), map.inputs.size() / 8);
    }
  }
}

TEST(what_has_no_kernels_is_refused) {
  Network network = fsrcnn(2, 80, 12, 2);
  CHECK_ERROR(cuda::chain_of(network), "layer random has 80 outputs, more than 64");
  network = fsrcnn(2, 56, 12, 2);
  Random random(3);
  network.layers[2] = random_layer(11, 12, 12, &random);
  CHECK_ERROR(cuda::chain_of(network), "a kernel of 11, more than 9");
  network = fsrcnn(2, 56, 12, 2);
  network.layers.back().activation.slope[1] = 0.5F;
  CHECK_ERROR(cuda::chain_of(network), "its tail has an activation");
  network.layers.resize(1);
  CHECK_ERROR(cuda::chain_of(network), "needs a convolution before its tail");
  network.upsamples_first = true;
  CHECK_ERROR(cuda::chain_of(network), "its layers read the enlarged picture");
  network = fsrcnn(2, 64, 32, 1);
  const cuda::Chain chain = cuda::chain_of(network);
  constexpr cuda::DeviceFacts kTiny = {80, 1, 16 << 10, 16 << 10, "tiny"};
  CHECK_ERROR(cuda::plan_frame(chain, kTiny, 64, 64), "does not fit into the 16384 bytes");
}

}  // namespace

CHECK_MAIN()
