// Splits a frame into the rectangles that workers compute on their own.
#pragma once

#include <cstdint>
#include <vector>

namespace esr {

// Half-open rectangle in pixels of the picture that the layers read.
struct Tile {
  std::int32_t x0 = 0;
  std::int32_t y0 = 0;
  std::int32_t x1 = 0;
  std::int32_t y1 = 0;
};

struct TileLimits {
  std::int32_t max_width = 0;   // of a tile's core, at least 1
  std::int32_t max_height = 0;  // likewise
  std::int32_t workers = 1;     // the count becomes a multiple of it where the frame has the rows
};

// Cores that cover the frame exactly once, as equal as they can be, row by row. Reuses `tiles`.
void plan_tiles(std::int32_t width, std::int32_t height, const TileLimits &limits,
                std::vector<Tile> *tiles);

}  // namespace esr
