// The bicubic enlargement that a network with a base adds to.
#pragma once

namespace esr::native {

// MATLAB's bicubic: for each phase the weights of LR pixels -2 .. 2 around the one that holds it;
// they sum to 1. `weights` has scale * 5 places.
void fill_base_weights(int scale, float *weights);

}  // namespace esr::native
