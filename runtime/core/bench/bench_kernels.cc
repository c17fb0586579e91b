// Times every kernel family that this CPU runs on the shapes of FSRCNN(56, 12, 4) at x2.
//
//   bench_kernels [--json]
//
// Prints nanoseconds per pixel and billions of true multiply-accumulates per second, next to the
// scalar family; the last line is one JSON object.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "backends/native/packed_conv.h"
#include "backends/native/packed_tail.h"
#include "backends/native/picture_taps.h"
#include "backends/native/scratch.h"
#include "kernels/families.h"

namespace {

using namespace esr;
using namespace esr::kernels;
using namespace esr::native;

constexpr int kPixels = 640;

struct Family {
  const char *precision;
  LaneType type;
  cpu::Isa isa;
  const RowKernels *kernels;
};

constexpr LaneType fp32 = LaneType::kFp32;
constexpr LaneType bf16 = LaneType::kBf16;
constexpr LaneType int8 = LaneType::kInt8;
constexpr Family kFamilies[] = {
#define ESR_FAMILY(isa, precision, name) {#precision, precision, isa, &precision##_##name},
#include "kernels/families.inc"
#undef ESR_FAMILY
};

struct Shape {
  const char *name;
  int kernel;
  int in;
  int out;
};

constexpr Shape kShapes[] = {{"extract 5x5 1>56", 5, 1, 56}, {"shrink 1x1 56>12", 1, 56, 12},
                             {"map 3x3 12>12", 3, 12, 12},   {"expand 1x1 12>56", 1, 12, 56},
                             {"map 3x3 56>56", 3, 56, 56},   {"map 3x3 64>64", 3, 64, 64}};

Layer layer_of(const Shape &shape) {
  Layer layer;
  layer.kernel = shape.kernel;
  layer.in_channels = shape.in;
  layer.out_channels = shape.out;
  const auto count = static_cast<std::size_t>(shape.kernel * shape.kernel * shape.in * shape.out);
  const auto outputs = static_cast<std::size_t>(shape.out);
  layer.weight.assign(count, 0.01F);
  layer.bias.assign(outputs, 0.1F);
  layer.activation.slope.assign(outputs, 0.25F);
  layer.is_quantized = true;
  layer.int8.weight.assign(count, 3);
  layer.int8.weight_scale.assign(outputs, 0.01F);
  layer.int8.bias.assign(outputs, 0.1F);
  layer.int8.input_scale = 0.01F;
  return layer;
}

// Median nanoseconds per pixel of `run`, repeated for 0.1 s.
template <class Run>
double time_of(Run &&run) {
  using Clock = std::chrono::steady_clock;
  std::vector<double> samples;
  const auto start = Clock::now();
  while (Clock::now() - start < std::chrono::milliseconds(100)) {
    const auto before = Clock::now();
    for (int i = 0; i < 8; ++i) run();
    const std::chrono::duration<double, std::nano> spent = Clock::now() - before;
    samples.push_back(spent.count() / (8.0 * kPixels));
  }
  std::nth_element(samples.begin(),
                   samples.begin() + static_cast<std::ptrdiff_t>(samples.size() / 2),
                   samples.end());
  return samples[samples.size() / 2];
}

void point_taps(RowRing &input, const std::vector<TapSlots> &taps, int kernel,
                std::vector<const Lane *> *pointers) {
  const int per_group = kernel * kernel;
  for (std::size_t t = 0; t < taps.size(); ++t) {
    const int tap = static_cast<int>(t) % per_group;
    const int group = static_cast<int>(t) / per_group;
    pointers->push_back(input.row(tap / kernel) + group * input.pitch() + tap % kernel -
                        kernel / 2);
  }
}

double time_conv(const Family &family, const Shape &shape) {
  const Layer layer = layer_of(shape);
  const int channels = family.kernels->channels_per_lane;
  std::vector<TapSlots> taps = feature_taps(layer, channels);
  if (shape.in == 1) {
    taps.clear();
    for (const PictureTap &tap : plan_picture_taps(shape.kernel, channels).taps) {
      taps.push_back(tap.slots);
    }
  }
  const OutputForm output{family.type == int8, 1.0F};
  const PackedConv packed = pack_conv(layer, family.type, *family.kernels, taps, output);
  RowRing input(shape.kernel, shape.in, kPixels, family.kernels->border);
  RowRing result(1, packed.out_channels, kPixels, 0);
  std::vector<const Lane *> pointers;
  point_taps(input, taps, shape.kernel, &pointers);
  ConvRow row{};
  row.taps = pointers.data();
  row.num_taps = packed.num_taps;
  row.weights = packed.weights.data();
  row.blocks = packed.blocks.data();
  row.num_blocks = static_cast<std::int32_t>(packed.blocks.size());
  row.init = packed.init.data();
  row.scale = packed.scale.data();
  row.shift = packed.shift.data();
  row.slope = packed.slope.data();
  row.out_pitch = result.pitch();
  row.count = kStripStep;
  return time_of([&] {
    for (int x = 0; x < kPixels; x += kStripStep) {
      row.tap_offset = x;
      row.out = result.row(0) + x;
      row.count = std::min(kStripStep, kPixels - x);
      family.kernels->conv(row);
    }
  });
}

// A 9x9 transposed convolution of stride 2 as its 5x5 sub-pixel form.
Layer tail_layer() {
  Layer layer = layer_of({"tail", 5, 56, 4});
  layer.activation.slope.assign(4, 1.0F);
  for (int phase = 0; phase < 4; ++phase) {
    for (int i = 0; i < 56 * 25; ++i) {
      const bool is_zero = (phase / 2 == 1 && i % 25 / 5 == 0) || (phase % 2 == 1 && i % 5 == 0);
      const auto index = static_cast<std::size_t>(phase * 56 * 25 + i);
      if (is_zero) layer.weight[index] = 0.0F;
      if (is_zero) layer.int8.weight[index] = 0;
    }
  }
  return layer;
}

double time_tail(const Family &family) {
  const PackedTail tail = pack_tail(tail_layer(), family.type, *family.kernels, 2);
  RowRing features(1, 56, kPixels, family.kernels->border);
  RowRing sums(5, 4, kPixels, 0);
  std::vector<std::vector<const Lane *>> taps;
  for (const TailPart &part : tail.parts) {
    taps.emplace_back();
    for (const TailPart::Tap &tap : part.taps) {
      taps.back().push_back(features.row(0) + tap.group * features.pitch() + tap.dx);
    }
  }
  return time_of([&] {
    for (int x = 0; x < kPixels; x += kStripStep) {
      for (std::size_t p = 0; p < tail.parts.size(); ++p) {
        const TailPart &part = tail.parts[p];
        Lane *rows[kMaxTailSums];
        std::size_t filled = 0;
        for (const TailPart::Row &row : part.rows) {
          for (int rx = 0; rx < 2; ++rx) {
            rows[filled++] = sums.row(row.ky) + (row.ry * 2 + rx) * sums.pitch();
          }
        }
        family.kernels->tail({taps[p].data(), part.segments.data(),
                              static_cast<std::int32_t>(part.segments.size()), part.weights.data(),
                              rows, x, static_cast<std::int32_t>(part.rows.size()), 2,
                              std::min(kStripStep, kPixels - x)});
      }
    }
  });
}

void report(const Family &family, const char *kernel, double macs, double nanoseconds,
            std::string *json) {
  std::printf("%-5s %-11s %-18s %9.3f ns/px %9.1f GMAC/s\n", family.precision, family.kernels->isa,
              kernel, nanoseconds, macs / nanoseconds);
  char line[200];
  std::snprintf(line, sizeof(line),
                "%s{\"precision\":\"%s\",\"isa\":\"%s\",\"kernel\":\"%s\",\"ns_per_pixel\":%.4f,"
                "\"gmac_per_s\":%.2f}",
                json->empty() ? "" : ",", family.precision, family.kernels->isa, kernel,
                nanoseconds, macs / nanoseconds);
  *json += line;
}

}  // namespace

int main() {
  std::string json;
  for (const Family &family : kFamilies) {
    if (!cpu::supports(family.isa)) continue;
    for (const Shape &shape : kShapes) {
      const double macs = shape.kernel * shape.kernel * shape.in * shape.out;
      report(family, shape.name, macs, time_conv(family, shape), &json);
    }
    report(family, "tail 9x9 56>4", 56.0 * 81.0, time_tail(family), &json);
  }
  std::printf("{\"pixels\":%d,\"results\":[%s]}\n", kPixels, json.c_str());
  return 0;
}
