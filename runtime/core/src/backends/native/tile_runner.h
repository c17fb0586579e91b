// Streams the rows of one tile through all layers.
#pragma once

#include "backends/native/chain.h"
#include "backends/native/scratch.h"
#include "image/plane.h"
#include "tile/tile_plan.h"

namespace esr::native {

// Writes the SR pixels of `core`. The result does not depend on how a frame is cut into cores: a
// window beyond the core is computed as far as the layers see, and every lane on its own.
void run_tile(const Chain &chain, const ConstPlane &lr, const Plane &sr, const Tile &core,
              Scratch *scratch);

}  // namespace esr::native
