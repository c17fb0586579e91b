#include "tile/tile_plan.h"

#include <algorithm>

namespace esr {
namespace {

std::int32_t parts_of(std::int32_t length, std::int32_t longest) {
  return (length - 1) / longest + 1;
}

std::int32_t cut(std::int32_t length, std::int32_t part, std::int32_t parts) {
  return static_cast<std::int32_t>(static_cast<std::int64_t>(length) * part / parts);
}

}  // namespace

void plan_tiles(std::int32_t width, std::int32_t height, const TileLimits &limits,
                std::vector<Tile> *tiles) {
  const std::int32_t columns = parts_of(width, limits.max_width);
  std::int32_t rows = parts_of(height, limits.max_height);
  // Tiles cost about the same: a last round that is not full would leave workers idle.
  while (columns * rows % limits.workers != 0) ++rows;
  rows = std::min(height, rows);
  tiles->clear();
  for (std::int32_t row = 0; row < rows; ++row) {
    for (std::int32_t column = 0; column < columns; ++column) {
      tiles->push_back({cut(width, column, columns), cut(height, row, rows),
                        cut(width, column + 1, columns), cut(height, row + 1, rows)});
    }
  }
}

}  // namespace esr
