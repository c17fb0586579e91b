// What a pass is told: plain numbers that the planner fills in and the kernel reads.
//
// A pass is one launch. A block of threads takes tiles of the frame one after the other: it loads
// the tile's window, runs the stages from one shared-memory map to the next, and writes either a
// map to device memory or pixels. Offsets are bytes from the start of shared memory, where the
// pass's constants (weights, biases, slopes, tables) come first.
//
// A map holds activations as half floats, in groups of 8 channels: the group's plane has 16 bytes
// for each pixel, rows one after the other. All numbers of a layer are in a unit of its own, a
// power of two that keeps them where half floats are precise; see stages.h.
#pragma once

#include <cstdint>

namespace esr::cuda {

constexpr int kMostWarps = 16;   // of a multiprocessor: what its registers allow
constexpr int kMatrixRows = 16;  // pixels of one matrix product
constexpr int kMatrices = 2;     // a warp's products that share the weights it loads
constexpr int kGroupChannels = 8;
constexpr int kGroupBytes = 16;
constexpr int kFragmentBytes = 256;  // weights of 16 inputs for 8 outputs
constexpr int kMaxStages = 8;        // of one pass

constexpr float kPictureUnit = 256.0F;  // 8-bit levels are exact in it

// Accumulators of a stage: groups of 8 outputs of its convolution, and of the 1x1 convolution
// behind it (0 without one). The kernel is compiled once for each.
struct StageShape {
  bool from_picture;
  int first;
  int second;
};

constexpr StageShape kStageShapes[] = {
    {true, 3, 2},  {true, 3, 3},  {true, 7, 2},  {true, 8, 4},  {true, 4, 0},
    {true, 8, 0},  {false, 2, 0}, {false, 3, 0}, {false, 4, 0}, {false, 8, 0},
    {false, 2, 3}, {false, 2, 7}, {false, 3, 3}, {false, 4, 8},
};
constexpr int kStageShapeCount = sizeof(kStageShapes) / sizeof(kStageShapes[0]);

// Groups of 8 outputs of the tail's products, of which there are as many as kTailRows LR rows need.
constexpr int kTailRows = 2;
constexpr int kTailGroups[] = {1, 3, 4};  // x2, x3, x4
constexpr int kTailGroupsCount = sizeof(kTailGroups) / sizeof(kTailGroups[0]);

// A rectangle of pixels; the reciprocal divides a pixel's index by the width.
struct Region {
  std::int32_t width;
  std::int32_t height;
  std::int32_t reciprocal;  // 2^20 / width, rounded up
};

// Offsets of what one convolution multiplies and adds.
struct Dense {
  std::int32_t weights;  // fragments [step of 16 inputs][group of 8 outputs]
  std::int32_t biases;   // float32
  std::int32_t slopes;   // float32
  std::int32_t has_clip;
  float low;
  float high;
};

struct StageLayout {
  std::int32_t shape;        // index into kStageShapes
  std::int32_t steps;        // of 16 inputs
  std::int32_t taps;         // table: where each input of a step lies
  std::int32_t input;        // map, or words of pixel pairs
  std::int32_t input_pitch;  // pixels
  std::int32_t output;       // map; -1: the map in device memory
  std::int32_t out_groups;
  std::int32_t margin;  // how far `region` reaches beyond the core
  Region region;        // of the output
  Dense first;
  Dense second;
};

// The sub-pixel convolution, the bicubic base and the pixels.
struct TailLayout {
  std::int32_t groups;  // one of kTailGroups
  std::int32_t steps;
  std::int32_t taps;
  std::int32_t input;
  std::int32_t input_pitch;
  Region region;  // rows of `region` are kTailRows LR rows each
  std::int32_t weights;
  std::int32_t biases;
  std::int32_t targets;  // int32 per output: where in `sums`; -1 for nowhere
  std::int32_t scale;
  std::int32_t sums;  // float32 [scale * core height][scale * core width]
  float unit;         // grey levels of a sum of 1
  std::int32_t has_base;
  std::int32_t base_weights;  // float32 [phase][5]
  std::int32_t window;        // float32 grey levels of the core and two more on each side
  std::int32_t columns;       // float32 [scale * core height][core width + 4]
};

struct PassLayout {
  std::int32_t constants_bytes;
  std::int32_t shared_bytes;
  std::int32_t warps;  // of a block
  std::int32_t core_width;
  std::int32_t core_height;
  std::int32_t tiles_x;
  std::int32_t tiles;
  std::int32_t from_picture;
  std::int32_t to_pixels;
  std::int32_t input;         // where the window is loaded
  std::int32_t input_margin;  // beyond the core
  std::int32_t input_width;
  std::int32_t input_height;
  std::int32_t input_groups;  // of a map
  std::int32_t num_stages;
  StageLayout stages[kMaxStages];
  TailLayout tail;
};

// Where one frame lies. Maps have the frame's size.
struct FrameArguments {
  const unsigned char *constants;
  const unsigned char *lr;
  unsigned char *sr;
  const unsigned char *input_map;
  unsigned char *output_map;
  std::int64_t lr_stride;  // bytes
  std::int64_t sr_stride;
  std::int32_t width;  // of lr
  std::int32_t height;
  std::int32_t sample_bytes;  // 1, 2 or 4 (float32)
  float to_grey;
  float from_grey;
  float peak;  // largest integer sample
};

}  // namespace esr::cuda
