#include "image/chroma.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "check.h"
#include "random_layer.h"

namespace {

using namespace esr;

double keys(double x) {
  x = std::abs(x);
  if (x <= 1.0) return 1.5 * x * x * x - 2.5 * x * x + 1.0;
  if (x < 2.0) return -0.5 * x * x * x + 2.5 * x * x - 4.0 * x + 2.0;
  return 0.0;
}

// Value at output sample `k` of a row of `length` samples, edges repeated.
double interpolated(const std::vector<double> &row, int k, int scale, double phase) {
  const double centre = (k + 0.5 + phase) / scale - 0.5 - phase;
  const int first = static_cast<int>(std::floor(centre)) - 1;
  double sum = 0.0;
  double total = 0.0;
  for (int i = first; i < first + 4; ++i) {
    const int inside = std::clamp(i, 0, static_cast<int>(row.size()) - 1);
    sum += keys(centre - i) * row[static_cast<std::size_t>(inside)];
    total += keys(centre - i);
  }
  return sum / total;
}

template <class Sample>
struct Case {
  int width = 13;
  int height = 9;
  int scale = 2;
  int step = 1;
  int missing = 0;  // samples by which the result is shorter
  int bit_depth = 8;
  ChromaPhase phase;

  double worst(int threads) const {
    Random random(static_cast<std::uint32_t>(scale * 7 + step));
    const int peak = (1 << bit_depth) - 1;
    const int out_width = width * scale - missing;
    const int out_height = height * scale - missing;
    std::vector<Sample> in(static_cast<std::size_t>(width * step * height));
    std::vector<Sample> out(static_cast<std::size_t>(out_width * step * out_height), Sample{99});
    for (Sample &sample : in) sample = static_cast<Sample>(random.whole(0, peak));
    const auto bytes = static_cast<std::ptrdiff_t>(sizeof(Sample)) * step;
    const SampleType type = sizeof(Sample) == 1 ? SampleType::kUint8 : SampleType::kUint16;
    ThreadPool pool(threads);
    ChromaUpscaler().run({{reinterpret_cast<const std::uint8_t *>(in.data()), width, height,
                           bytes * width, type, bit_depth},
                          step},
                         {{reinterpret_cast<std::uint8_t *>(out.data()), out_width, out_height,
                           bytes * out_width, type, bit_depth},
                          step},
                         scale, phase, pool);
    double largest = 0.0;
    for (int y = 0; y < out_height; ++y) {
      for (int x = 0; x < out_width; ++x) {
        const double exact = std::clamp(value(in, x, y), 0.0, static_cast<double>(peak));
        const double found = out[static_cast<std::size_t>((y * out_width + x) * step)];
        largest = std::max(largest, std::abs(found - exact));
      }
    }
    return largest;
  }

 private:
  double value(const std::vector<Sample> &in, int x, int y) const {
    std::vector<double> column;
    for (int row = 0; row < height; ++row) {
      std::vector<double> line;
      for (int i = 0; i < width; ++i) {
        line.push_back(in[static_cast<std::size_t>((row * width + i) * step)]);
      }
      column.push_back(interpolated(line, x, scale, static_cast<double>(phase.x)));
    }
    return interpolated(column, y, scale, static_cast<double>(phase.y));
  }
};

TEST(chroma_equals_keys_interpolation_at_its_location) {
  for (int scale = 2; scale <= 4; ++scale) {
    for (const ChromaPhase phase : {ChromaPhase{0, 0}, {-0.25F, 0}, {-0.25F, -0.25F}}) {
      for (int missing = 0; missing < 2; ++missing) {
        Case<std::uint8_t> bytes;
        bytes.scale = scale;
        bytes.phase = phase;
        bytes.missing = missing;
        CHECK(bytes.worst(1) <= 0.501);
        bytes.step = 2;
        CHECK(bytes.worst(3) <= 0.501);
      }
      Case<std::uint16_t> deep;
      deep.scale = scale;
      deep.phase = phase;
      deep.bit_depth = 10;
      CHECK(deep.worst(2) <= 0.501);
    }
  }
}

TEST(a_single_sample_is_repeated) {
  Case<std::uint8_t> tiny;
  tiny.width = tiny.height = 1;
  tiny.scale = 4;
  CHECK(tiny.worst(1) <= 0.501);
}

}  // namespace

CHECK_MAIN()
