#include "tile/tile_plan.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "check.h"
#include "random_layer.h"

namespace {

using namespace esr;

TEST(cores_cover_each_pixel_exactly_once) {
  Random random(3);
  for (int i = 0; i < 300; ++i) {
    const int width = random.whole(1, 200);
    const int height = random.whole(1, 200);
    const TileLimits limits{random.whole(1, 250), random.whole(1, 250), random.whole(1, 9)};
    std::vector<Tile> tiles;
    plan_tiles(width, height, limits, &tiles);
    std::vector<int> covered(static_cast<std::size_t>(width * height), 0);
    bool is_within = true;
    for (const Tile &tile : tiles) {
      is_within = is_within && tile.x1 > tile.x0 && tile.y1 > tile.y0 &&
                  tile.x1 - tile.x0 <= limits.max_width && tile.y1 - tile.y0 <= limits.max_height;
      for (int y = tile.y0; y < tile.y1; ++y) {
        for (int x = tile.x0; x < tile.x1; ++x) ++covered[static_cast<std::size_t>(y * width + x)];
      }
    }
    CHECK(is_within);
    CHECK_EQ(std::count(covered.begin(), covered.end(), 1), width * height);
  }
}

TEST(tiles_are_full_rounds_of_the_workers) {
  std::vector<Tile> tiles;
  plan_tiles(1920, 1080, {800, 1080, 4}, &tiles);
  CHECK_EQ(tiles.size() % 4, std::size_t{0});
}

}  // namespace

CHECK_MAIN()
