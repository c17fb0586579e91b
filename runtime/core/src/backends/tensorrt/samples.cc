#include "backends/tensorrt/samples.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace esr::tensorrt {
namespace {

constexpr std::int32_t kBand = 32;

template <class Row>
void for_each_row(std::int32_t height, ThreadPool &pool, const Row &row) {
  pool.parallel_for((height - 1) / kBand + 1, [&](std::int32_t band, std::int32_t) {
    const std::int32_t end = std::min(height, (band + 1) * kBand);
    for (std::int32_t y = band * kBand; y < end; ++y) row(y);
  });
}

// Of a row that the graph takes or gives.
template <class Byte>
std::size_t graph_row_bytes(const BasicPlane<Byte> &plane) {
  const std::size_t sample = needs_twin(plane.type) ? sizeof(float) : 1;
  return static_cast<std::size_t>(plane.width) * sample;
}

}  // namespace

void to_graph(const ConstPlane &lr, void *graph, ThreadPool &pool) {
  const std::size_t bytes = graph_row_bytes(lr);
  const float unit = static_cast<float>(1 << (lr.bit_depth - 8));
  for_each_row(lr.height, pool, [&](std::int32_t y) {
    std::uint8_t *to = static_cast<std::uint8_t *>(graph) + static_cast<std::size_t>(y) * bytes;
    if (lr.type != SampleType::kUint16) {
      std::memcpy(to, lr.row(y), bytes);
      return;
    }
    const auto *samples = reinterpret_cast<const std::uint16_t *>(lr.row(y));
    auto *levels = reinterpret_cast<float *>(to);
    for (std::int32_t x = 0; x < lr.width; ++x) levels[x] = static_cast<float>(samples[x]) / unit;
  });
}

void from_graph(const void *graph, const Plane &sr, ThreadPool &pool) {
  const std::size_t bytes = graph_row_bytes(sr);
  const float unit = static_cast<float>(1 << (sr.bit_depth - 8));
  const float peak = static_cast<float>((1 << sr.bit_depth) - 1);
  for_each_row(sr.height, pool, [&](std::int32_t y) {
    const std::uint8_t *from =
        static_cast<const std::uint8_t *>(graph) + static_cast<std::size_t>(y) * bytes;
    if (sr.type != SampleType::kUint16) {
      std::memcpy(sr.row(y), from, bytes);
      return;
    }
    const auto *levels = reinterpret_cast<const float *>(from);
    auto *samples = reinterpret_cast<std::uint16_t *>(sr.row(y));
    for (std::int32_t x = 0; x < sr.width; ++x) {
      const float level = std::nearbyint(levels[x] * unit);
      samples[x] = static_cast<std::uint16_t>(std::fmin(std::fmax(level, 0.0F), peak));
    }
  });
}

}  // namespace esr::tensorrt
