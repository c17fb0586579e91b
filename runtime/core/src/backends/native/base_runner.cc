#include "backends/native/base_runner.h"

#include <algorithm>
#include <cstddef>

namespace esr::native {
namespace {

constexpr std::int32_t kReach = 2;  // LR pixels that the bicubic kernel sees to each side

}  // namespace

float to_grey(int bit_depth) { return 1.0F / static_cast<float>(1 << (bit_depth - 8)); }

BaseRunner::BaseRunner(const Chain &chain, const ConstPlane &lr, std::int32_t begin,
                       std::int32_t end, std::int32_t first_row, Scratch *scratch)
    : chain_(chain),
      lr_(lr),
      scratch_(*scratch),
      begin_(begin),
      end_(end),
      next_row_(std::max(0, first_row - kReach)) {}

// Column `begin` of an LR row, the frame's first and last row repeated.
float *BaseRunner::row(std::int32_t y) {
  return reinterpret_cast<float *>(scratch_.base_rows.row(std::clamp(y, 0, lr_.height - 1)));
}

// Grey levels of the columns and two more on each side, the frame's edges repeated.
void BaseRunner::load_until(std::int32_t y) {
  const std::int32_t first = std::max(0, begin_ - kReach) - begin_;
  const std::int32_t end = std::min(lr_.width, end_ + kReach) - begin_;
  const auto bytes = static_cast<std::int32_t>(bytes_of(lr_.type));
  const std::ptrdiff_t start = static_cast<std::ptrdiff_t>(begin_ + first) * bytes;
  for (; next_row_ <= std::min(y, lr_.height - 1); ++next_row_) {
    float *const levels = row(next_row_);
    chain_.floats->load(
        {lr_.row(next_row_) + start, bytes, to_grey(lr_.bit_depth), levels + first, end - first});
    for (std::int32_t x = -kReach; x < first; ++x) levels[x] = levels[first];
    for (std::int32_t x = end; x < size() + kReach; ++x) levels[x] = levels[end - 1];
  }
}

void BaseRunner::compute(std::int32_t y, float **base) {
  load_until(y + kReach);
  const float *rows[2 * kReach + 1];
  for (std::int32_t k = 0; k <= 2 * kReach; ++k) rows[k] = row(y + k - kReach);
  for (int p = 0; p < chain_.scale * chain_.scale; ++p) {
    base[p] = reinterpret_cast<float *>(scratch_.base.row(0) + p * scratch_.base.pitch());
  }
  chain_.floats->base(
      {rows, chain_.scale, chain_.base_weights.data(), scratch_.vertical.data(), base, size()});
}

}  // namespace esr::native
