// Two frame descriptions over one block of memory: what is accepted runs and writes the rows of sr
// alone, the rest is refused.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "api/upscaler.h"
#include "base/error.h"
#include "fuzz_target.h"

namespace {

constexpr std::size_t kBlockBytes = 1 << 14;
constexpr std::uint8_t kFresh = 0x35;

// Numbers as the input's bytes give them, zeros after its end.
class Numbers {
 public:
  Numbers(const std::uint8_t *data, std::size_t size) : data_(data), size_(size) {}

  template <class Number>
  Number next() {
    Number value{};
    const std::size_t count = std::min(sizeof(value), size_);
    std::memcpy(&value, data_, count);
    data_ += count;
    size_ -= count;
    return value;
  }

 private:
  const std::uint8_t *data_;
  std::size_t size_;
};

esr_frame frame_from(Numbers *numbers, const std::uint8_t *block) {
  esr_frame frame;
  esr_frame_init(&frame);
  frame.format = numbers->next<std::int8_t>();
  frame.bit_depth = numbers->next<std::int8_t>();
  frame.chroma_location = numbers->next<std::int8_t>();
  frame.width = numbers->next<std::int32_t>();
  frame.height = numbers->next<std::int32_t>();
  for (int i = 0; i < 3; ++i) {
    const auto offset = static_cast<std::uintptr_t>(numbers->next<std::int64_t>());
    const auto address = reinterpret_cast<std::uintptr_t>(block) + offset;
    frame.data[i] = reinterpret_cast<void *>(address);
    frame.stride_bytes[i] = static_cast<std::ptrdiff_t>(numbers->next<std::int64_t>());
  }
  return frame;
}

bool is_within(const esr::FramePlanes &planes, const std::vector<std::uint8_t> &block) {
  const auto begin = reinterpret_cast<std::uintptr_t>(block.data());
  return std::all_of(planes.areas, planes.areas + planes.num_areas, [&](const esr::Area &area) {
    return area.begin >= begin && area.end <= begin + block.size();
  });
}

void make_fresh(const esr::FramePlanes &planes, std::vector<std::uint8_t> *block) {
  const auto begin = reinterpret_cast<std::uintptr_t>(block->data());
  for (int i = 0; i < planes.num_areas; ++i) {
    const esr::Area &area = planes.areas[i];
    for (std::uintptr_t row = area.begin; row < area.end; row += area.pitch) {
      std::memset(block->data() + (row - begin), kFresh, area.row);
    }
  }
}

esr::native::Layer small_layer(int kernel, int out) {
  esr::native::Layer layer;
  layer.kernel = kernel;
  layer.out_channels = out;
  const int weights = kernel * kernel * out;
  for (int i = 0; i < weights; ++i) {
    layer.weight.push_back(0.01F * static_cast<float>(i % 7 - 3));
  }
  layer.bias.assign(static_cast<std::size_t>(out), 0.5F);
  layer.activation.slope.assign(static_cast<std::size_t>(out), 1.0F);
  return layer;
}

std::unique_ptr<esr_upscaler> open_small() {
  esr::native::Network network;
  network.has_base = true;
  network.layers = {small_layer(1, 1), small_layer(3, 4)};
  esr_options options;
  esr_options_init(&options);
  options.num_threads = 1;
  return esr::open_network(network, "small", "fp32", options);
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
  static const std::unique_ptr<esr_upscaler> upscaler = open_small();
  static std::vector<std::uint8_t> block(kBlockBytes, kFresh);
  Numbers numbers(data, size);
  const esr_frame lr_frame = frame_from(&numbers, block.data());
  const esr_frame sr_frame = frame_from(&numbers, block.data());
  try {
    const esr::FramePlanes lr = esr::checked_frame(lr_frame, "lr");
    const esr::FramePlanes sr = esr::checked_frame(sr_frame, "sr");
    esr::check_frames(lr_frame, lr, sr_frame, sr, 2);
    if (!is_within(lr, block) || !is_within(sr, block)) return 0;
    esr::upscale_frame(*upscaler, lr, sr);
    make_fresh(sr, &block);
    require_law(block == std::vector<std::uint8_t>(kBlockBytes, kFresh), "only sr is written");
  } catch (const esr::Error &error) {
    require_law(error.status() == esr::Status::kInvalidArgument, "refused as invalid");
  }
  return 0;
}
