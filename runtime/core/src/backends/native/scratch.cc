#include "backends/native/scratch.h"

#include <algorithm>

namespace esr::native {
namespace {

constexpr std::ptrdiff_t kLineLanes = static_cast<std::ptrdiff_t>(kCacheLine / sizeof(Lane));

// Half of a small L1 cache; the other half holds weights and what a strip is made from.
constexpr int kStripBytes = 24 << 10;

int widest_layer(const Chain &chain) {
  int channels = 1;
  for (const Stage &stage : chain.stages) {
    for (const PackedConv &layer : stage.layers) channels = std::max(channels, layer.out_channels);
  }
  return channels;
}

int strip_pixels(const Chain &chain) {
  int groups = 1;
  for (const Stage &stage : chain.stages) {
    for (const PackedConv &layer : stage.layers) {
      groups = std::max(groups, (layer.out_channels - 1) / layer.kernels->channels_per_lane + 1);
    }
  }
  const int fitting = kStripBytes / (groups * static_cast<int>(sizeof(Lane)));
  return std::max(fitting / kStripStep, 1) * kStripStep;
}

std::size_t most_taps(const Chain &chain) {
  std::size_t taps = 1;
  for (const Stage &stage : chain.stages) {
    taps = std::max(taps, static_cast<std::size_t>(stage.layers.front().num_taps));
  }
  return taps;
}

// From the row that the first layer waits for, made with those beside it, to the one that leaves.
int enlarged_rows(const Chain &chain) { return chain.radius + chain.scale; }

std::size_t tail_tap_count(const PackedTail &tail) {
  std::size_t taps = 0;
  for (const TailPart &part : tail.parts) taps += part.taps.size();
  return taps;
}

}  // namespace

std::ptrdiff_t pitch_of(int width) {
  const std::ptrdiff_t lines = (width + 2 * kMargin + kLineLanes - 1) / kLineLanes;
  return (lines | 1) * kLineLanes;
}

RowRing::RowRing(int rows, int groups, int width, Lane fill)
    : rows_(rows),
      groups_(groups),
      pitch_(pitch_of(width)),
      lanes_(static_cast<std::size_t>(rows) * static_cast<std::size_t>(groups) *
             static_cast<std::size_t>(pitch_)) {
  std::fill_n(lanes_.data(), lanes_.size(), fill);
}

Scratch::Scratch(const Chain &chain, int window_width) : width(window_width) {
  const int first_kernel = chain.stages.front().layers.front().kernel;
  sample_pitch = pitch_of(width) * static_cast<std::ptrdiff_t>(sizeof(Lane));
  samples = AlignedBuffer<std::uint8_t>(static_cast<std::size_t>(first_kernel + 1) *
                                        static_cast<std::size_t>(sample_pitch));
  picture = RowRing(1, static_cast<int>(chain.picture_taps.rows.size()), width, 0);
  for (const Stage &stage : chain.stages) {
    stages.emplace_back(stage.rows_kept, stage.out_groups, width, stage.border);
    outside.emplace_back(1, stage.out_groups, width, stage.border);
  }
  const int channels = widest_layer(chain);
  strip = strip_pixels(chain);
  strip_pitch = strip + kMargin;
  for (int i = 0; i < 2; ++i) {
    strips[i] = AlignedBuffer<Lane>(static_cast<std::size_t>(channels * strip_pitch));
    for (int g = 0; g < channels; ++g) {
      strip_taps[i].push_back(strips[i].data() + static_cast<std::ptrdiff_t>(g) * strip_pitch);
    }
  }
  const int phases = chain.tail.scale * chain.tail.scale;
  sums = RowRing(chain.tail.kernel, phases, width, 0);
  unused_sums = RowRing(1, chain.tail.scale, width, 0);
  if (chain.needs_base()) {
    base_rows = RowRing(5, 1, width, 0);
    base = RowRing(1, chain.scale * chain.scale, width, 0);
    vertical = AlignedBuffer<float>(static_cast<std::size_t>(pitch_of(width)));
  }
  if (chain.enlargement > 1) enlarged = RowRing(enlarged_rows(chain), 1, width, 0);
  pixels = AlignedBuffer<float>(static_cast<std::size_t>(chain.tail.scale) *
                                static_cast<std::size_t>(pitch_of(width)));
  taps.resize(most_taps(chain));
  tail_taps.resize(tail_tap_count(chain.tail));
}

std::size_t bytes_per_column(const Chain &chain) {
  std::size_t lanes = 0;
  for (const Stage &stage : chain.stages) {
    lanes += static_cast<std::size_t>(stage.rows_kept) * static_cast<std::size_t>(stage.out_groups);
  }
  const auto phases = static_cast<std::size_t>(chain.tail.scale * chain.tail.scale);
  lanes += static_cast<std::size_t>(chain.tail.kernel) * phases;
  if (chain.enlargement > 1) {
    lanes += static_cast<std::size_t>(enlarged_rows(chain));
  } else if (chain.has_base) {
    lanes += 5 + phases;
  }
  return lanes * sizeof(Lane);
}

}  // namespace esr::native
