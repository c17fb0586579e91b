#include "backends/native/tile_runner.h"

#include <algorithm>
#include <cstring>

#include "backends/native/base_runner.h"

namespace esr::native {
namespace {

using namespace kernels;

struct Span {
  std::int32_t begin = 0;
  std::int32_t end = 0;
  std::int32_t size() const { return end - begin; }
  bool contains(std::int32_t y) const { return y >= begin && y < end; }
};

// As std::fill, at the speed of memcpy, which picks the widest instructions by itself.
void fill_lanes(Lane *lanes, std::int32_t count, Lane value) {
  std::int32_t filled = std::min(count, 32);
  std::fill_n(lanes, filled, value);
  while (filled < count) {
    const std::int32_t more = std::min(filled, count - filled);
    std::memcpy(lanes + filled, lanes, static_cast<std::size_t>(more) * sizeof(Lane));
    filled += more;
  }
}

// Coordinates are pixels of the picture that the layers read: LR, or its enlargement.
class TileRunner {
 public:
  TileRunner(const Chain &chain, const ConstPlane &lr, const Plane &sr, const Tile &core,
             Scratch *scratch)
      : chain_(chain),
        lr_(lr),
        sr_(sr),
        core_(core),
        scratch_(*scratch),
        width_(lr.width * chain.enlargement),
        height_(lr.height * chain.enlargement),
        origin_(std::max(0, core.x0 - chain.radius)),
        next_sample_row_(std::max(0, rows_of(chain.stages.front()).begin - first_radius())),
        next_enlarged_row_(next_sample_row_ / chain.enlargement * chain.enlargement),
        base_(base_runner()) {
    point_tail_taps();
  }

  // Stage i works `lag` rows behind the first: it waits for the rows below that it reads.
  void run() {
    const std::int32_t first = core_.y0 - chain_.stages.front().need;
    const std::int32_t last = core_.y1 - 1 + chain_.stages.front().need;
    for (std::int32_t y = first; y <= last; ++y) {
      std::int32_t lag = 0;
      for (std::size_t i = 0; i < chain_.stages.size(); ++i) {
        if (i > 0) lag += chain_.stages[i].radius;
        if (rows_of(chain_.stages[i]).contains(y - lag)) compute_row(i, y - lag);
      }
      scatter_row(y - lag);
    }
  }

 private:
  // All columns that the layers read if they read the base, else those that it is added to.
  BaseRunner base_runner() {
    const int enlargement = chain_.enlargement;
    if (enlargement == 1) return {chain_, lr_, core_.x0, core_.x1, core_.y0, &scratch_};
    const Span window = columns(chain_.radius);
    const std::int32_t begin = (origin_ + window.begin) / enlargement;
    const std::int32_t end = (origin_ + window.end - 1) / enlargement + 1;
    return {chain_, lr_, begin, end, next_enlarged_row_ / enlargement, &scratch_};
  }

  int first_radius() const { return chain_.stages.front().radius; }

  Span rows_of(const Stage &stage) const {
    return {std::max(0, core_.y0 - stage.need), std::min(height_, core_.y1 + stage.need)};
  }

  // Columns relative to the window's first.
  Span columns(int need) const {
    return {std::max(0, core_.x0 - need) - origin_, std::min(width_, core_.x1 + need) - origin_};
  }

  // ---- source samples to lanes of the first layer ----

  std::uint8_t *sample_row(std::int32_t y) {
    const int kernel = 2 * first_radius() + 1;
    const std::int32_t slot = y < 0 || y >= height_ ? kernel : y % kernel;
    return scratch_.samples.data() + slot * scratch_.sample_pitch +
           kMargin * chain_.picture->sample_bytes;
  }

  // Rows of the base up to y, their phases side by side.
  void enlarge_until(std::int32_t y) {
    const int scale = chain_.scale;
    const std::ptrdiff_t start = base_.begin() * scale - origin_;
    for (; next_enlarged_row_ <= y; next_enlarged_row_ += scale) {
      float *phases[kMaxScale * kMaxScale];
      base_.compute(next_enlarged_row_ / scale, phases);
      for (int ry = 0; ry < scale; ++ry) {
        float *const row = enlarged_row(next_enlarged_row_ + ry) + start;
        for (int rx = 0; rx < scale; ++rx) {
          const float *const phase = phases[ry * scale + rx];
          for (std::int32_t x = 0; x < base_.size(); ++x) row[x * scale + rx] = phase[x];
        }
      }
    }
  }

  float *enlarged_row(std::int32_t y) {
    return reinterpret_cast<float *>(scratch_.enlarged.row(y));
  }

  void load_row(std::int32_t y, std::uint8_t *samples, std::int32_t count) {
    if (chain_.enlargement > 1) {
      enlarge_until(y);
      chain_.picture->load({enlarged_row(y), sizeof(float), 1.0F, samples, count});
      return;
    }
    const auto bytes = static_cast<std::int32_t>(bytes_of(lr_.type));
    chain_.picture->load({lr_.row(y) + static_cast<std::ptrdiff_t>(origin_) * bytes, bytes,
                          to_grey(lr_.bit_depth), samples, count});
  }

  void load_samples_until(std::int32_t y) {
    const Span window = columns(chain_.radius);
    const auto bytes = static_cast<std::size_t>(chain_.picture->sample_bytes);
    for (; next_sample_row_ <= std::min(y, height_ - 1); ++next_sample_row_) {
      std::uint8_t *row = sample_row(next_sample_row_);
      load_row(next_sample_row_, row, window.size());
      // Black right of the frame; right of a window inside the frame it is not read.
      std::memset(row + static_cast<std::size_t>(window.size()) * bytes, 0,
                  static_cast<std::size_t>(kMargin) * bytes);
    }
  }

  void interleave_picture(std::int32_t y) {
    load_samples_until(y + first_radius());
    const Span window = columns(chain_.stages.front().need);
    constexpr std::int32_t kReach = 16;  // at least the largest shift of a tap
    const std::ptrdiff_t start = window.begin - kReach;
    for (std::size_t r = 0; r < chain_.picture_taps.rows.size(); ++r) {
      const void *sources[kMaxChannelsPerLane];
      for (std::size_t c = 0; c < kMaxChannelsPerLane; ++c) {
        const PictureLanes::Source &from = chain_.picture_taps.rows[r].sources[c];
        const std::uint8_t *row = sample_row(from.is_used ? y + from.dy : -1);
        sources[c] = row + (start + from.dx) * chain_.picture->sample_bytes;
      }
      Lane *out =
          scratch_.picture.row(0) + static_cast<std::ptrdiff_t>(r) * scratch_.picture.pitch();
      chain_.picture->interleave({sources, out + start, window.size() + 2 * kReach});
    }
  }

  // ---- stages ----

  void point_picture_taps() {
    for (std::size_t t = 0; t < chain_.picture_taps.taps.size(); ++t) {
      const PictureTap &tap = chain_.picture_taps.taps[t];
      scratch_.taps[t] = scratch_.picture.row(0) + tap.row * scratch_.picture.pitch() + tap.shift;
    }
  }

  void point_feature_taps(std::size_t stage, std::int32_t y) {
    RowRing &input = scratch_.stages[stage - 1];
    const int radius = chain_.stages[stage].radius;
    const int kernel = 2 * radius + 1;
    for (int ky = 0; ky < kernel; ++ky) {
      const std::int32_t row_y = y + ky - radius;
      const bool is_inside = row_y >= 0 && row_y < height_;
      const Lane *row = is_inside ? input.row(row_y) : scratch_.outside[stage - 1].row(0);
      const int groups = chain_.stages[stage].layers.front().num_taps / (kernel * kernel);
      for (int g = 0; g < groups; ++g) {
        for (int kx = 0; kx < kernel; ++kx) {
          const auto tap = static_cast<std::size_t>((g * kernel + ky) * kernel + kx);
          scratch_.taps[tap] = row + g * input.pitch() + kx - radius;
        }
      }
    }
  }

  void compute_row(std::size_t index, std::int32_t y) {
    const Stage &stage = chain_.stages[index];
    if (index == 0) {
      interleave_picture(y);
      point_picture_taps();
    } else {
      point_feature_taps(index, y);
    }
    const Span span = columns(stage.need);
    RowRing &output = scratch_.stages[index];
    Lane *out = output.row(y);
    const bool is_single = stage.layers.size() == 1 && !stage.layers.front().quantizes_after;
    const std::int32_t step = is_single ? span.size() : scratch_.strip;
    for (std::int32_t x = span.begin; x < span.end; x += step) {
      compute_strip(stage, x, std::min(step, span.end - x), out + x, output.pitch());
    }
    if (span.end + origin_ == width_) clear_right(stage, out + span.end, output.pitch());
  }

  // What lies right of the frame reads as zero.
  static void clear_right(const Stage &stage, Lane *out, std::ptrdiff_t pitch) {
    for (int g = 0; g < stage.out_groups; ++g) {
      std::fill_n(out + g * pitch, stage.next_radius, stage.border);
    }
  }

  void compute_strip(const Stage &stage, std::int32_t x, std::int32_t count, Lane *out,
                     std::ptrdiff_t out_pitch) {
    const Lane *const *taps = scratch_.taps.data();
    std::ptrdiff_t offset = x;
    int strip = 0;
    for (std::size_t i = 0; i < stage.layers.size(); ++i) {
      const PackedConv &layer = stage.layers[i];
      const bool is_last = i + 1 == stage.layers.size();
      Target target = is_last ? Target{out, out_pitch} : strip_target(strip);
      if (layer.quantizes_after) {
        const Target floats = strip_target(strip);
        convolve(layer, taps, offset, floats, count);
        if (!is_last) target = strip_target(1 - strip);
        quantize(layer, floats, target, count);
        if (!is_last) strip = 1 - strip;
      } else {
        convolve(layer, taps, offset, target, count);
      }
      taps = scratch_.strip_taps[strip].data();
      strip = 1 - strip;
      offset = 0;
    }
  }

  struct Target {
    Lane *lanes;
    std::ptrdiff_t pitch;
  };

  Target strip_target(int strip) { return {scratch_.strips[strip].data(), scratch_.strip_pitch}; }

  void convolve(const PackedConv &layer, const Lane *const *taps, std::ptrdiff_t offset,
                const Target &target, std::int32_t count) const {
    ConvRow row{};
    row.taps = taps;
    row.tap_offset = offset;
    row.num_taps = layer.num_taps;
    row.weights = layer.weights.data();
    row.blocks = layer.blocks.data();
    row.num_blocks = static_cast<std::int32_t>(layer.blocks.size());
    row.init = layer.init.data();
    row.scale = layer.scale.data();
    row.shift = layer.shift.data();
    row.slope = layer.slope.data();
    row.is_float_out = layer.is_float_out;
    row.out = target.lanes;
    row.out_pitch = target.pitch;
    row.count = count;
    layer.kernels->conv(row);
    if (!layer.has_clip) return;
    const bool is_float = layer.is_float_out;
    const RowKernels &form = is_float ? *chain_.floats : *layer.kernels;
    const int groups = (layer.out_channels - 1) / form.channels_per_lane + 1;
    form.clip({target.lanes, target.pitch, groups, layer.clip_low, layer.clip_high, count});
  }

  void quantize(const PackedConv &layer, const Target &from, const Target &to,
                std::int32_t count) const {
    chain_.bytes->quantize({from.lanes, from.pitch, layer.out_channels, layer.quantize_scale,
                            to.lanes, to.pitch, count});
  }

  // ---- tail ----

  void point_tail_taps() {
    std::size_t t = 0;
    RowRing &features = scratch_.stages.back();
    for (const TailPart &part : chain_.tail.parts) {
      for (const TailPart::Tap &tap : part.taps) {
        scratch_.tail_taps[t++] = features.row(0) + tap.group * features.pitch() + tap.dx;
      }
    }
  }

  // Feature row y, which may lie outside the frame, to the sums of the LR rows that see it.
  void scatter_row(std::int32_t y) {
    const int radius = chain_.tail_radius();
    const Span core_rows{core_.y0, core_.y1};
    if (core_rows.contains(y + radius)) open_sums(y + radius);
    if (rows_of(chain_.stages.back()).contains(y)) {
      const Span span = columns(0);
      for (std::int32_t x = span.begin; x < span.end; x += scratch_.strip) {
        scatter_strip(y, x, std::min(scratch_.strip, span.end - x));
      }
    }
    if (core_rows.contains(y - radius)) store_row(y - radius);
  }

  void open_sums(std::int32_t y) {
    const PackedTail &tail = chain_.tail;
    const int radius = tail.kernel / 2;
    const int phases = tail.scale * tail.scale;
    const Span span = columns(0);
    for (int phase = 0; phase < phases; ++phase) {
      Lane init = tail.init[static_cast<std::size_t>(phase)];
      for (int ky = 0; !tail.correction.empty() && ky < tail.kernel; ++ky) {
        const std::int32_t row_y = y + ky - radius;
        if (row_y < 0 || row_y >= height_) continue;
        init += static_cast<Lane>(tail.correction[static_cast<std::size_t>(ky * phases + phase)]);
      }
      Lane *sums = scratch_.sums.row(y) + phase * scratch_.sums.pitch();
      fill_lanes(sums + span.begin, span.size(), init);
    }
  }

  // The sums of SR row ry of LR row y, or a row that nobody reads if y is not of this core.
  Lane *sums_of(std::int32_t y, int ry) {
    const bool is_ours = y >= core_.y0 && y < core_.y1;
    RowRing &ring = is_ours ? scratch_.sums : scratch_.unused_sums;
    return ring.row(is_ours ? y : 0) + (is_ours ? ry * chain_.tail.scale : 0) * ring.pitch();
  }

  void scatter_strip(std::int32_t y, std::int32_t x, std::int32_t count) {
    const PackedTail &tail = chain_.tail;
    const Lane *const *taps = scratch_.tail_taps.data();
    for (const TailPart &part : tail.parts) {
      Lane *sums[kMaxTailSums];
      std::size_t filled = 0;
      bool is_needed = false;
      for (const TailPart::Row &row : part.rows) {
        const std::int32_t row_y = y - (row.ky - tail.kernel / 2);
        is_needed = is_needed || (row_y >= core_.y0 && row_y < core_.y1);
        Lane *first = sums_of(row_y, row.ry);
        for (int rx = 0; rx < tail.scale; ++rx) {
          sums[filled++] = first + rx * scratch_.sums.pitch();
        }
      }
      const Lane *const *part_taps = taps;
      taps += part.taps.size();
      if (!is_needed) continue;
      tail.kernels->tail({part_taps, part.segments.data(),
                          static_cast<std::int32_t>(part.segments.size()), part.weights.data(),
                          sums, x, static_cast<std::int32_t>(part.rows.size()), tail.scale, count});
    }
  }

  // ---- pixels ----

  void store_row(std::int32_t y) {
    const PackedTail &tail = chain_.tail;
    const Span span = columns(0);
    float *base[kMaxScale * kMaxScale];
    if (chain_.has_base && chain_.enlargement == 1) base_.compute(y, base);
    if (chain_.has_base && chain_.enlargement > 1) base[0] = enlarged_row(y) + span.begin;
    const Lane *sums[kMaxScale * kMaxScale];
    for (int p = 0; p < tail.scale * tail.scale; ++p) {
      sums[p] = scratch_.sums.row(y) + p * scratch_.sums.pitch() + span.begin;
    }
    std::uint8_t *pixels[kMaxScale];
    const auto bytes = static_cast<std::ptrdiff_t>(bytes_of(sr_.type));
    for (int ry = 0; ry < tail.scale; ++ry) {
      pixels[ry] =
          sr_.row(y * tail.scale + ry) + static_cast<std::ptrdiff_t>(core_.x0) * tail.scale * bytes;
    }
    StoreRow row{};
    row.sums = sums;
    row.factors = tail.factors.data();
    row.biases = tail.biases.data();
    row.base = chain_.has_base ? base : nullptr;
    row.scale = tail.scale;
    row.pixels = pixels;
    row.bytes_per_sample = static_cast<std::int32_t>(bytes);
    row.from_grey = static_cast<float>(1 << (sr_.bit_depth - 8));
    row.peak = static_cast<float>((1 << sr_.bit_depth) - 1);
    row.scratch = scratch_.pixels.data();
    row.count = span.size();
    tail.kernels->store(row);
  }

  const Chain &chain_;
  const ConstPlane &lr_;
  const Plane &sr_;
  const Tile &core_;
  Scratch &scratch_;
  std::int32_t width_ = 0;
  std::int32_t height_ = 0;
  std::int32_t origin_ = 0;  // first column of the window
  std::int32_t next_sample_row_ = 0;
  std::int32_t next_enlarged_row_ = 0;
  BaseRunner base_;
};

}  // namespace

void run_tile(const Chain &chain, const ConstPlane &lr, const Plane &sr, const Tile &core,
              Scratch *scratch) {
  TileRunner(chain, lr, sr, core, scratch).run();
}

}  // namespace esr::native
