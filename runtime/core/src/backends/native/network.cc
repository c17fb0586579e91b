#include "backends/native/network.h"

#include <algorithm>

namespace esr::native {

int Network::radius() const {
  int radius = 0;
  for (const Layer &layer : layers) radius += layer.kernel / 2;
  return has_base ? std::max(radius, 2) : radius;
}

}  // namespace esr::native
