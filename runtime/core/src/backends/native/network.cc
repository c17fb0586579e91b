#include "backends/native/network.h"

#include <algorithm>

namespace esr::native {
namespace {

// LR pixels between a pixel of the enlarged picture and the furthest that it is made of, on the
// side of smaller coordinates: the bicubic kernel is not zero at distances below 2.
int furthest_source(int scale, int pixel) {
  const int row = pixel >= 0 ? pixel / scale : -((scale - 1 - pixel) / scale);
  const int phase = pixel - row * scale;
  const int twice_centre = 2 * phase + 1 - scale;  // from the LR pixel's, in 1 / (2 * scale)
  return twice_centre < 0 ? row - 2 : row - 1;
}

// The layers reach `reach` enlarged pixels; both sides are alike.
int enlarged_radius(int scale, int reach) {
  int furthest = 0;
  for (int phase = 0; phase < scale; ++phase) {
    for (int pixel = phase - reach; pixel <= phase; ++pixel) {
      furthest = std::min(furthest, furthest_source(scale, pixel));
    }
  }
  return -furthest;
}

}  // namespace

int Network::layer_radius() const {
  int radius = 0;
  for (const Layer &layer : layers) radius += layer.kernel / 2;
  return radius;
}

int Network::radius() const {
  if (upsamples_first) return enlarged_radius(scale, layer_radius());
  return has_base ? std::max(layer_radius(), 2) : layer_radius();
}

}  // namespace esr::native
