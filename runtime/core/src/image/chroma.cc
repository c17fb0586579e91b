#include "image/chroma.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>

namespace esr {
namespace {

constexpr int kMargin = 4;
constexpr int kTaps = 4;
constexpr int kMaxScale = 4;

// Keys 1981, a = -1/2.
double keys(double distance) {
  const double x = std::abs(distance);
  if (x <= 1.0) return (1.5 * x - 2.5) * x * x + 1.0;
  if (x < 2.0) return ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0;
  return 0.0;
}

// Output sample scale*i + phase reads input samples i + first .. i + first + 3.
struct Taps {
  std::int32_t first = 0;
  float weight[kTaps] = {};
};

void fill_taps(int scale, double phase, Taps *taps) {
  for (int p = 0; p < scale; ++p) {
    const double centre = (p + 0.5 + phase) / scale - 0.5 - phase;
    const double floor = std::floor(centre);
    taps[p].first = static_cast<std::int32_t>(floor) - 1;
    double weights[kTaps];
    double total = 0.0;
    for (int k = 0; k < kTaps; ++k) total += weights[k] = keys(centre - (taps[p].first + k));
    for (int k = 0; k < kTaps; ++k) taps[p].weight[k] = static_cast<float>(weights[k] / total);
  }
}

template <class Sample>
const Sample *source_row(const SteppedPlane<ConstPlane> &lr, std::int32_t y) {
  const std::int32_t inside = std::clamp(y, 0, lr.plane.height - 1);
  return reinterpret_cast<const Sample *>(lr.plane.row(inside));
}

// Columns first: one row of floats with its edges repeated.
template <class Sample>
void blend_rows(const SteppedPlane<ConstPlane> &lr, std::int32_t y, const Taps &taps,
                float *__restrict row) {
  const Sample *rows[kTaps];
  for (int k = 0; k < kTaps; ++k) rows[k] = source_row<Sample>(lr, y + taps.first + k);
  const std::int32_t width = lr.plane.width;
  const std::ptrdiff_t step = lr.step;
  for (std::int32_t x = 0; x < width; ++x) {
    row[x] = taps.weight[0] * static_cast<float>(rows[0][x * step]) +
             taps.weight[1] * static_cast<float>(rows[1][x * step]) +
             taps.weight[2] * static_cast<float>(rows[2][x * step]) +
             taps.weight[3] * static_cast<float>(rows[3][x * step]);
  }
  for (int i = 1; i <= kMargin; ++i) {
    row[-i] = row[0];
    row[width - 1 + i] = row[width - 1];
  }
}

// Adding 1.5 * 2^23 leaves the value, rounded half to even, in the low bits.
template <class Sample>
Sample rounded(float value, float peak) {
  const float inside = value > 0.0F ? (value < peak ? value : peak) : 0.0F;
  const float shifted = inside + 12582912.0F;
  std::uint32_t bits = 0;
  std::memcpy(&bits, &shifted, sizeof(bits));
  return static_cast<Sample>(bits);
}

template <class Sample>
void write_row(const float *__restrict row, const Taps *taps, int scale, float unit,
               const SteppedPlane<Plane> &sr, std::int32_t y) {
  const auto peak = static_cast<float>((1 << sr.plane.bit_depth) - 1);
  auto *__restrict out = reinterpret_cast<Sample *>(sr.plane.row(y));
  for (int p = 0; p < scale; ++p) {
    const float *__restrict from = row + taps[p].first;
    const float *w = taps[p].weight;
    const std::int32_t count = (sr.plane.width - p + scale - 1) / scale;
    const std::ptrdiff_t step = static_cast<std::ptrdiff_t>(scale) * sr.step;
    Sample *__restrict to = out + static_cast<std::ptrdiff_t>(p) * sr.step;
    for (std::int32_t x = 0; x < count; ++x) {
      const float value =
          w[0] * from[x] + w[1] * from[x + 1] + w[2] * from[x + 2] + w[3] * from[x + 3];
      to[x * step] = rounded<Sample>(value * unit, peak);
    }
  }
}

template <class Sample>
void upscale_row(const SteppedPlane<ConstPlane> &lr, const SteppedPlane<Plane> &sr, int scale,
                 const Taps *across, const Taps *down, std::int32_t y, float *row) {
  const float unit = std::ldexp(1.0F, sr.plane.bit_depth - lr.plane.bit_depth);
  blend_rows<Sample>(lr, y / scale, down[y % scale], row);
  write_row<Sample>(row, across, scale, unit, sr, y);
}

}  // namespace

void ChromaUpscaler::reserve(std::int32_t width, int num_threads) {
  const auto workers = static_cast<std::size_t>(num_threads);
  const auto needed = static_cast<std::size_t>(width + 2 * kMargin);
  if (rows_.size() < workers) rows_.resize(workers);
  for (AlignedBuffer<float> &row : rows_) {
    if (row.size() < needed) row = AlignedBuffer<float>(needed);
  }
}

void ChromaUpscaler::run(const SteppedPlane<ConstPlane> &lr, const SteppedPlane<Plane> &sr,
                         int scale, const ChromaPhase &phase, ThreadPool &pool) {
  reserve(lr.plane.width, pool.num_threads());
  Taps across[kMaxScale];
  Taps down[kMaxScale];
  fill_taps(scale, phase.x, across);
  fill_taps(scale, phase.y, down);
  constexpr std::int32_t kBand = 16;
  const std::int32_t height = sr.plane.height;
  pool.parallel_for((height + kBand - 1) / kBand, [&](std::int32_t band, std::int32_t worker) {
    float *row = rows_[static_cast<std::size_t>(worker)].data() + kMargin;
    const std::int32_t end = std::min(height, (band + 1) * kBand);
    for (std::int32_t y = band * kBand; y < end; ++y) {
      if (lr.plane.type == SampleType::kUint8) {
        upscale_row<std::uint8_t>(lr, sr, scale, across, down, y, row);
      } else {
        upscale_row<std::uint16_t>(lr, sr, scale, across, down, y, row);
      }
    }
  });
}

}  // namespace esr
