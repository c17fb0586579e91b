// Every family of the table against its definition: all lengths, guards around the output.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "backends/native/packed_conv.h"
#include "backends/native/packed_tail.h"
#include "backends/native/picture_taps.h"
#include "backends/native/scratch.h"
#include "check.h"
#include "kernels/families.h"
#include "random_layer.h"

namespace {

using namespace esr;
using namespace esr::kernels;
using namespace esr::native;

constexpr LaneType fp32 = LaneType::kFp32;
constexpr LaneType bf16 = LaneType::kBf16;
constexpr LaneType int8 = LaneType::kInt8;

struct Family {
  const char *precision;
  LaneType type;
  cpu::Isa isa;
  const RowKernels *kernels;
};

constexpr Family kFamilies[] = {
#define ESR_FAMILY(isa, precision, name) {#precision, precision, isa, &precision##_##name},
#include "kernels/families.inc"
#undef ESR_FAMILY
};

constexpr int kLongest = 67;
constexpr Lane kGuard = 0xDEADBEEFU;

// Calls `body` for each family that this CPU runs, and names those that it does not.
template <class Body>
void for_each_family(Body &&body) {
  for (const Family &family : kFamilies) {
    if (!cpu::supports(family.isa)) {
      std::printf("skipped: %s on %s\n", family.precision, family.kernels->isa);
      continue;
    }
    body(family);
  }
}

float float_of(Lane lane) {
  float value = 0.0F;
  std::memcpy(&value, &lane, sizeof(value));
  return value;
}

Lane lane_of(float value) {
  Lane lane = 0;
  std::memcpy(&lane, &value, sizeof(lane));
  return lane;
}

float rounded_to_bf16(float value) {
  const Lane bits = lane_of(value);
  return float_of((bits + 0x7FFFU + ((bits >> 16) & 1U)) & 0xFFFF0000U);
}

// A field of a lane as the number that it stands for.
float field_of(const Family &family, Lane lane, int c) {
  if (family.type == fp32) return float_of(lane);
  if (family.type == bf16) return float_of(c == 0 ? lane << 16 : lane & 0xFFFF0000U);
  if (family.kernels->channels_per_lane == 2) {
    return static_cast<float>(static_cast<std::int16_t>(lane >> (16 * c)));
  }
  const auto byte = static_cast<std::uint8_t>(lane >> (8 * c));
  const int offset = family.kernels->zero_point;
  return offset != 0 ? static_cast<float>(byte - offset)
                     : static_cast<float>(static_cast<std::int8_t>(byte));
}

Lane field_from(const Family &family, float value, int c) {
  if (family.type == fp32) return lane_of(value);
  if (family.type == bf16) return lane_of(rounded_to_bf16(value)) >> 16 << (16 * c);
  const auto q = static_cast<std::int32_t>(value);
  if (family.kernels->channels_per_lane == 2) return (static_cast<Lane>(q) & 0xFFFFU) << (16 * c);
  return (static_cast<Lane>(q + family.kernels->zero_point) & 0xFFU) << (8 * c);
}

// Feature maps of `channels` as numbers and as lanes, three rows of them.
struct Features {
  Features(const Family &family, int channels, int rows, Random *random)
      : ring(rows, (channels - 1) / family.kernels->channels_per_lane + 1, kLongest,
             family.kernels->border),
        channels_(channels) {
    const int per_lane = family.kernels->channels_per_lane;
    values.assign(static_cast<std::size_t>(rows * channels * kWidth), 0.0F);
    for (int y = 0; y < rows; ++y) {
      for (int c = 0; c < channels; ++c) {
        for (int x = -kReach; x < kLongest + kReach; ++x) {
          float value = random->between(-1.0F, 1.0F);
          if (family.type == bf16) value = rounded_to_bf16(value);
          if (family.type == int8) value = static_cast<float>(random->whole(-128, 127));
          at(y, c, x) = value;
          Lane *lane = ring.row(y) + c / per_lane * ring.pitch() + x;
          const Lane mask = field_from(family, family.type == int8 ? -1.0F : 0.0F, 0);
          (void)mask;
          if (c % per_lane == 0) *lane = empty(family);
          *lane = replaced(family, *lane, value, c % per_lane);
        }
      }
    }
  }

  float &at(int y, int c, int x) {
    return values[static_cast<std::size_t>((y * channels_ + c) * kWidth + x + kReach)];
  }

  RowRing ring;
  std::vector<float> values;

 private:
  static constexpr int kReach = 7;
  static constexpr int kWidth = kLongest + 2 * kReach;

  static Lane empty(const Family &family) { return family.kernels->border; }

  static Lane replaced(const Family &family, Lane lane, float value, int c) {
    const int bits = 32 / family.kernels->channels_per_lane;
    if (bits == 32) return field_from(family, value, 0);
    const Lane mask = ((Lane{1} << bits) - 1U) << (bits * c);
    return (lane & ~mask) | field_from(family, value, c);
  }

  int channels_;
};

double weight_of(const Family &family, const Layer &layer, int o, int c, int ky, int kx) {
  const auto index = static_cast<std::size_t>(
      ((o * layer.in_channels + c) * layer.kernel + ky) * layer.kernel + kx);
  if (family.type == int8) return layer.int8.weight[index];
  const float weight = layer.weight[index];
  return family.type == bf16 ? static_cast<double>(rounded_to_bf16(weight)) : weight;
}

double exact_sum(const Family &family, const Layer &layer, Features &input, int o, int x) {
  double sum = 0.0;
  for (int c = 0; c < layer.in_channels; ++c) {
    for (int ky = 0; ky < layer.kernel; ++ky) {
      for (int kx = 0; kx < layer.kernel; ++kx) {
        sum += weight_of(family, layer, o, c, ky, kx) *
               static_cast<double>(input.at(ky, c, x + kx - layer.kernel / 2));
      }
    }
  }
  return sum;
}

// What the layer's output should be, in the numbers of the next layer.
double expected_output(const Family &family, const Layer &layer, Features &input, int o, int x,
                       const OutputForm &form) {
  const auto index = static_cast<std::size_t>(o);
  const double slope = layer.activation.slope[index];
  const double sum = exact_sum(family, layer, input, o, x);
  if (family.type != int8) {
    const double value = sum + static_cast<double>(layer.bias[index]);
    return value < 0 ? value * slope : value;
  }
  const double unit = form.is_quantized ? static_cast<double>(form.scale) : 1.0;
  const auto scale = static_cast<float>(static_cast<double>(layer.int8.input_scale) *
                                        static_cast<double>(layer.int8.weight_scale[index]) / unit);
  const auto shift = static_cast<float>(static_cast<double>(layer.int8.bias[index]) / unit);
  const float value = std::fma(static_cast<float>(sum), scale, shift);
  const float activated = value < 0 ? value * static_cast<float>(slope) : value;
  if (!form.is_quantized) return static_cast<double>(activated);
  return static_cast<double>(std::fmin(std::fmax(std::nearbyint(activated), -128.0F), 127.0F));
}

std::vector<const Lane *> taps_of(Features &input, const std::vector<TapSlots> &taps, int kernel) {
  std::vector<const Lane *> pointers;
  for (std::size_t t = 0; t < taps.size(); ++t) {
    const int tap = static_cast<int>(t) % (kernel * kernel);
    const int group = static_cast<int>(t) / (kernel * kernel);
    pointers.push_back(input.ring.row(tap / kernel) + group * input.ring.pitch() + tap % kernel -
                       kernel / 2);
  }
  return pointers;
}

double tolerance_of(const Family &family) {
  if (family.type == int8) return 0.0;
  return family.type == fp32 ? 2e-5 : 3e-2;  // outputs of bf16 keep 8 bits
}

void check_conv(const Family &family, int kernel, int in, int out, const OutputForm &form) {
  Random random(static_cast<std::uint32_t>(kernel * 10000 + in * 100 + out));
  const Layer layer = random_layer(kernel, in, out, &random);
  Features input(family, in, kernel, &random);
  const std::vector<TapSlots> taps = feature_taps(layer, family.kernels->channels_per_lane);
  const PackedConv packed = pack_conv(layer, family.type, *family.kernels, taps, form);
  const std::vector<const Lane *> pointers = taps_of(input, taps, kernel);
  const int per_lane = packed.is_float_out ? 1 : family.kernels->channels_per_lane;
  const int groups = (packed.out_channels - 1) / per_lane + 1;
  for (int count = 1; count <= kLongest; count += count < 20 ? 1 : 13) {
    RowRing result(1, groups, kLongest, kGuard);
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
    row.is_float_out = packed.is_float_out;
    row.out = result.row(0);
    row.out_pitch = result.pitch();
    row.count = count;
    family.kernels->conv(row);
    const int vector = family.kernels->vector_lanes;
    const int written = (count + vector - 1) / vector * vector;
    double worst = 0.0;
    for (int o = 0; o < out; ++o) {
      for (int x = 0; x < count; ++x) {
        const Lane lane = result.row(0)[o / per_lane * result.pitch() + x];
        const float found =
            packed.is_float_out ? float_of(lane) : field_of(family, lane, o % per_lane);
        const double expected = expected_output(family, layer, input, o, x, form);
        worst = std::fmax(worst, std::abs(static_cast<double>(found) - expected) /
                                     std::fmax(1.0, std::abs(expected)));
      }
    }
    if (worst > tolerance_of(family)) {
      std::fprintf(stderr, "%s %s %dx%d %d>%d count %d: %g\n", family.precision,
                   family.kernels->isa, kernel, kernel, in, out, count, worst);
    }
    CHECK(worst <= tolerance_of(family));
    for (int g = 0; g < groups; ++g) {
      const Lane *lanes = result.row(0) + g * result.pitch();
      CHECK_EQ(lanes[-1], kGuard);
      CHECK_EQ(lanes[written], kGuard);
    }
  }
}

TEST(convolution_equals_its_definition) {
  for_each_family([](const Family &family) {
    const OutputForm form{family.type == int8, 0.05F};
    for (const auto &shape :
         {std::pair{12, 12}, {56, 12}, {12, 56}, {64, 64}, {7, 20}, {5, 3}, {1, 1}}) {
      check_conv(family, 1, shape.first, shape.second, form);
      check_conv(family, 3, shape.first, shape.second, form);
    }
    check_conv(family, 5, 2, 9, form);
  });
}

TEST(int8_sums_leave_as_real_values_where_float_follows) {
  for_each_family([](const Family &family) {
    if (family.type == int8) check_conv(family, 3, 12, 14, {});
  });
}

// The tail as a scatter of one feature row, against the sums of its definition.
void check_tail(const Family &family, int scale, bool is_transposed) {
  Random random(static_cast<std::uint32_t>(scale));
  constexpr int kChannels = 10;
  Layer layer = random_layer(5, kChannels, scale * scale, &random);
  layer.activation.slope.assign(layer.activation.slope.size(), 1.0F);
  if (is_transposed) clear_transposed_zeros(scale, &layer);
  Features input(family, kChannels, 1, &random);
  const PackedTail tail = pack_tail(layer, family.type, *family.kernels, scale);
  RowRing sums(5, scale * scale, kLongest, 0);
  for (const TailPart &part : tail.parts) {
    std::vector<const Lane *> taps;
    for (const TailPart::Tap &tap : part.taps) {
      taps.push_back(input.ring.row(0) + tap.group * input.ring.pitch() + tap.dx);
    }
    std::vector<Lane *> rows;
    for (const TailPart::Row &row : part.rows) {
      for (int rx = 0; rx < scale; ++rx) {
        rows.push_back(sums.row(row.ky) + (row.ry * scale + rx) * sums.pitch());
      }
    }
    family.kernels->tail({taps.data(), part.segments.data(),
                          static_cast<std::int32_t>(part.segments.size()), part.weights.data(),
                          rows.data(), 0, static_cast<std::int32_t>(part.rows.size()), scale,
                          kLongest});
  }
  double worst = 0.0;
  for (int ky = 0; ky < 5; ++ky) {
    for (int phase = 0; phase < scale * scale; ++phase) {
      for (int x = 0; x < kLongest; ++x) {
        double expected = 0.0;
        for (int c = 0; c < kChannels; ++c) {
          for (int kx = 0; kx < 5; ++kx) {
            const double offset = family.type == int8 ? family.kernels->zero_point : 0;
            expected += weight_of(family, layer, phase, c, ky, kx) *
                        (static_cast<double>(input.at(0, c, x + kx - 2)) + offset);
          }
        }
        const Lane lane = sums.row(ky)[phase * sums.pitch() + x];
        const double found = family.type == int8
                                 ? static_cast<double>(static_cast<std::int32_t>(lane))
                                 : static_cast<double>(float_of(lane));
        worst = std::fmax(worst, std::abs(found - expected));
      }
    }
  }
  CHECK(worst <= (family.type == int8 ? 0.0 : family.type == fp32 ? 1e-4 : 1e-3));
}

TEST(tail_equals_its_definition_at_every_scale) {
  for_each_family([](const Family &family) {
    check_tail(family, 1, false);  // behind an enlargement
    for (int scale = 2; scale <= 4; ++scale) {
      check_tail(family, scale, false);
      check_tail(family, scale, true);
    }
  });
}

TEST(structural_zeros_of_a_transposed_tail_cost_nothing) {
  Random random(1);
  Layer layer = random_layer(5, 4, 4, &random);
  layer.activation.slope.assign(4, 1.0F);
  clear_transposed_zeros(2, &layer);
  const PackedTail tail = pack_tail(layer, fp32, fp32_scalar, 2);
  int products = 0;
  for (const TailPart &part : tail.parts) products += static_cast<int>(part.weights.size());
  CHECK_EQ(products, 81 * 4);
}

TEST(a_5x5_picture_kernel_needs_7_taps_of_4_values) {
  CHECK_EQ(plan_picture_taps(5, 4).taps.size(), std::size_t{7});
  CHECK_EQ(plan_picture_taps(5, 2).taps.size(), std::size_t{13});
  CHECK_EQ(plan_picture_taps(5, 1).taps.size(), std::size_t{25});
}

}  // namespace

CHECK_MAIN()
