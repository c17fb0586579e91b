#include "backends/native/packed_tail.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"

namespace esr::native {
namespace {

// Which phases a kernel position serves.
class Support {
 public:
  Support(const Layer &layer, LaneType type, int scale)
      : layer_(layer), is_int8_(type == LaneType::kInt8), scale_(scale) {}

  bool uses(int ry, int rx, int ky, int kx) const {
    const int k = layer_.kernel;
    for (int c = 0; c < layer_.in_channels; ++c) {
      const auto index = static_cast<std::size_t>(
          (((ry * scale_ + rx) * layer_.in_channels + c) * k + ky) * k + kx);
      if (is_int8_ ? layer_.int8.weight[index] != 0 : layer_.weight[index] != 0.0F) return true;
    }
    return false;
  }

  bool uses_row(int ry, int ky) const {
    for (int kx = 0; kx < layer_.kernel; ++kx) {
      for (int rx = 0; rx < scale_; ++rx) {
        if (uses(ry, rx, ky, kx)) return true;
      }
    }
    return false;
  }

  bool uses_column(const std::vector<TailPart::Row> &rows, int rx, int kx) const {
    return std::any_of(rows.begin(), rows.end(),
                       [&](const TailPart::Row &row) { return uses(row.ry, rx, row.ky, kx); });
  }

 private:
  const Layer &layer_;
  bool is_int8_;
  int scale_;
};

struct Range {
  int begin = 0;
  int end = 0;
};

// The phases along a row that kernel column kx serves, widened to a range that kernels know.
Range column_phases(const Support &support, const TailPart &part, int kx, int scale) {
  Range range{scale, 0};
  for (int rx = 0; rx < scale; ++rx) {
    if (!support.uses_column(part.rows, rx, kx)) continue;
    range.begin = std::min(range.begin, rx);
    range.end = rx + 1;
  }
  if (range.end == 0) return {0, 0};
  const bool is_first = range.begin == 0 && range.end == 1;
  const bool is_known_at_3 =
      scale == 3 && ((range.begin == 0 && range.end == 2) || range.begin == 2);
  return is_first || is_known_at_3 ? range : Range{0, scale};
}

void add_weights(const Layer &layer, LaneType type, const RowKernels &kernels, int scale,
                 const Range &phases, int kx, int group, TailPart *part,
                 std::vector<Lane> *weights) {
  const int first = group * kernels.channels_per_lane;
  part->taps.push_back({group, kx - layer.kernel / 2});
  for (const TailPart::Row &row : part->rows) {
    TapSlots slots;
    for (int c = 0; c < kernels.channels_per_lane && first + c < layer.in_channels; ++c) {
      slots[static_cast<std::size_t>(c)] = {first + c, row.ky, kx};
    }
    for (int rx = phases.begin; rx < phases.end; ++rx) {
      weights->push_back(
          encode_weights(layer, type, kernels.channels_per_lane, row.ry * scale + rx, slots));
    }
  }
}

// One segment per set of phases; the full set first, group by group for the cache.
void fill_part(const Layer &layer, LaneType type, const RowKernels &kernels, int scale,
               const Support &support, TailPart *part) {
  std::vector<Range> columns;
  for (int kx = 0; kx < layer.kernel; ++kx) {
    columns.push_back(column_phases(support, *part, kx, scale));
  }
  constexpr Range kKnown[] = {{0, 4}, {0, 3}, {0, 2}, {0, 1}, {2, 3}};
  const int groups = (layer.in_channels - 1) / kernels.channels_per_lane + 1;
  std::vector<Lane> weights;
  for (const Range &phases : kKnown) {
    const std::size_t before = part->taps.size();
    for (int group = 0; group < groups; ++group) {
      for (int kx = 0; kx < layer.kernel; ++kx) {
        const Range &column = columns[static_cast<std::size_t>(kx)];
        if (column.begin != phases.begin || column.end != phases.end) continue;
        add_weights(layer, type, kernels, scale, phases, kx, group, part, &weights);
      }
    }
    const auto added = static_cast<std::int32_t>(part->taps.size() - before);
    if (added > 0) part->segments.push_back({added, phases.begin, phases.end});
  }
  part->weights = AlignedBuffer<Lane>(weights.size());
  if (!weights.empty()) {
    std::memcpy(part->weights.data(), weights.data(), weights.size() * sizeof(Lane));
  }
}

std::int32_t row_sum(const Layer &layer, int phase, int ky) {
  std::int32_t sum = 0;
  for (int c = 0; c < layer.in_channels; ++c) {
    for (int kx = 0; kx < layer.kernel; ++kx) {
      const int index = ((phase * layer.in_channels + c) * layer.kernel + ky) * layer.kernel + kx;
      sum += layer.int8.weight[static_cast<std::size_t>(index)];
    }
  }
  return sum;
}

void fill_levels(const Layer &layer, LaneType type, PackedTail *tail) {
  const int phases = tail->scale * tail->scale;
  for (int phase = 0; phase < phases; ++phase) {
    const auto index = static_cast<std::size_t>(phase);
    Lane init = 0;
    if (type == LaneType::kInt8) {
      tail->biases.push_back(layer.int8.bias[index]);
      tail->factors.push_back(static_cast<float>(static_cast<double>(layer.int8.input_scale) *
                                                 layer.int8.weight_scale[index]));
    } else {
      std::memcpy(&init, &layer.bias[index], sizeof(init));
    }
    tail->init.push_back(init);
  }
  for (int ky = 0; type == LaneType::kInt8 && ky < layer.kernel; ++ky) {
    for (int phase = 0; phase < phases; ++phase) {
      tail->correction.push_back(-tail->kernels->zero_point * row_sum(layer, phase, ky));
    }
  }
}

void check_tail(const Layer &layer, int scale) {
  if (layer.out_channels != scale * scale) {
    throw Error(Status::kUnsupported, "last layer " + layer.name + " has " +
                                          std::to_string(layer.out_channels) + " outputs, not " +
                                          std::to_string(scale * scale));
  }
  const Activation &activation = layer.activation;
  const bool is_plain = std::all_of(activation.slope.begin(), activation.slope.end(),
                                    [](float slope) { return slope == 1.0F; });
  if (!is_plain || activation.has_clip) {
    throw Error(Status::kUnsupported,
                "last layer " + layer.name + " has an activation, which is not offered");
  }
}

// Rows with any product, in as few passes as the registers allow, and those as equal as can be.
std::vector<std::vector<TailPart::Row>> split_rows(const Layer &layer, const Support &support,
                                                   const RowKernels &kernels, int scale) {
  std::vector<TailPart::Row> rows;
  for (int ky = 0; ky < layer.kernel; ++ky) {
    for (int ry = 0; ry < scale; ++ry) {
      if (support.uses_row(ry, ky)) rows.push_back({ky, ry});
    }
  }
  const auto most = static_cast<std::size_t>(std::max(1, kernels.max_tail_phases / scale));
  const std::size_t passes = (rows.size() + most - 1) / most;
  std::vector<std::vector<TailPart::Row>> parts;
  for (std::size_t p = 0; p < passes; ++p) {
    const auto begin = static_cast<std::ptrdiff_t>(rows.size() * p / passes);
    const auto end = static_cast<std::ptrdiff_t>(rows.size() * (p + 1) / passes);
    parts.emplace_back(rows.begin() + begin, rows.begin() + end);
  }
  return parts;
}

}  // namespace

PackedTail pack_tail(const Layer &layer, LaneType type, const RowKernels &kernels, int scale) {
  check_tail(layer, scale);
  PackedTail tail;
  tail.kernels = &kernels;
  tail.kernel = layer.kernel;
  tail.scale = scale;
  const Support support(layer, type, scale);
  for (const std::vector<TailPart::Row> &rows : split_rows(layer, support, kernels, scale)) {
    TailPart part;
    part.rows = rows;
    fill_part(layer, type, kernels, scale, support, &part);
    tail.parts.push_back(std::move(part));
  }
  fill_levels(layer, type, &tail);
  return tail;
}

}  // namespace esr::native
