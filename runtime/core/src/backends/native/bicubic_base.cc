#include "backends/native/bicubic_base.h"

#include <cmath>

namespace esr::native {
namespace {

// MATLAB's bicubic kernel (Keys 1981, a = -1/2) at a distance in LR pixels.
double bicubic(double distance) {
  const double x = std::abs(distance);
  if (x <= 1.0) return (1.5 * x - 2.5) * x * x + 1.0;
  if (x <= 2.0) return ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0;
  return 0.0;
}

}  // namespace

void fill_base_weights(int scale, float *weights) {
  for (int phase = 0; phase < scale; ++phase) {
    const double centre = (phase + 0.5) / scale - 0.5;
    double taps[5];
    double total = 0.0;
    for (int k = 0; k < 5; ++k) total += taps[k] = bicubic(centre - (k - 2));
    for (int k = 0; k < 5; ++k) weights[phase * 5 + k] = static_cast<float>(taps[k] / total);
  }
}

}  // namespace esr::native
