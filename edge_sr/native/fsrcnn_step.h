// One training step of an FSRCNN on a CPU: forward and backward through all layers in one call.
#pragma once

#include <cstddef>
#include <memory>

namespace esr::training {

// Extract 5x5 to d, shrink 1x1 to s, m times 3x3, expand 1x1 to d, each with a PReLU, then a
// convolution to `phases` outputs that reads offsets first_tap..last_tap in both directions.
struct Network {
  int d, s, m, phases, first_tap, last_tap;
};

// Where a layer's numbers lie in the packed parameters. Weights are [out][in][ky][kx].
struct LayerPosition {
  std::ptrdiff_t weight, bias, slope;
};

// Packed parameters: for each layer weights, biases and (but for the tail) one slope a channel, in
// the order extract, shrink, map, expand, tail. Behind their gradients stand those of the m + 3
// activation scales.
class ParameterLayout {
 public:
  static constexpr int kMaxMaps = 32;

  explicit ParameterLayout(const Network &network);

  LayerPosition extract, shrink, map[kMaxMaps], expand, tail;
  std::ptrdiff_t parameters;  // without the scales
  int scales;                 // of activations: extract, shrink, map, expand
};

// All arrays are contiguous floats, planes in [channel][y][x] order; `width` is a multiple of 16. A
// scale of 0 leaves an activation as it is; any other rounds it to a multiple of the scale between
// -128 and 127 of it, whose gradients pass rounding unchanged (LSQ, equation 3).
class FsrcnnStep {
 public:
  virtual ~FsrcnnStep() = default;

  // Floats that forward() keeps for backward(), for one sample.
  virtual std::ptrdiff_t saved_floats() const = 0;

  // lr [count][1][h][w] to phases [count][phases][h][w] and, unless null, the expanding layer's
  // activations, features [count][d][h][w]. `saved` has room for `count` samples and is zero when
  // it is used first; only forward() writes there.
  virtual void forward(int count, const float *parameters, const float *scales, const float *lr,
                       float *saved, float *phases, float *features) = 0;

  // Gradients of the parameters and scales for each sample, [count][parameters + scales], from
  // those of phases and, unless null, of features. `saved` is what forward() left there.
  virtual void backward(int count, const float *parameters, const float *scales, float *saved,
                        const float *phases_gradient, const float *features_gradient,
                        float *gradients) = 0;

  virtual const char *isa() const = 0;
};

// Whether this CPU runs it: x86 with AVX2. Others train faster by PyTorch.
bool has_fsrcnn_step();

// With the best kernels that this CPU runs. Throws Error(kInvalidArgument) for shapes that are not
// positive, a width that is no multiple of 16, or more than kMaxMaps maps; Error(kUnsupported)
// without has_fsrcnn_step().
std::unique_ptr<FsrcnnStep> make_fsrcnn_step(const Network &network, int height, int width,
                                             int threads);

}  // namespace esr::training
