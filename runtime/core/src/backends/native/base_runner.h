// The bicubic base of some columns, row by row.
#pragma once

#include <cstdint>

#include "backends/native/chain.h"
#include "backends/native/scratch.h"
#include "image/plane.h"

namespace esr::native {

class BaseRunner {
 public:
  // LR columns begin..end-1; rows are asked for in order, from `first_row` on.
  BaseRunner(const Chain &chain, const ConstPlane &lr, std::int32_t begin, std::int32_t end,
             std::int32_t first_row, Scratch *scratch);

  // Fills base[ry*scale+rx] with grey levels of phase (ry, rx) of LR row y, from column `begin` on.
  void compute(std::int32_t y, float **base);

  std::int32_t begin() const noexcept { return begin_; }
  std::int32_t size() const noexcept { return end_ - begin_; }

 private:
  float *row(std::int32_t y);
  void load_until(std::int32_t y);

  const Chain &chain_;
  const ConstPlane &lr_;
  Scratch &scratch_;
  std::int32_t begin_ = 0;
  std::int32_t end_ = 0;
  std::int32_t next_row_ = 0;
};

// The factor from samples of a bit depth to grey levels.
float to_grey(int bit_depth);

}  // namespace esr::native
