// Which precision each convolution of an engine runs in.
#pragma once

#include <string>
#include <vector>

namespace esr::tensorrt {

// A convolution of the graph: `asked` by its types, `runs` as the inspector tells; `runs` is empty
// where the engine fused the layer into a region that does not tell.
struct LayerPrecision {
  std::string name;
  std::string asked;
  std::string runs;
};

// Fills in `runs` by the inspector's reports, a JSON object for each layer of the engine. Throws
// Error(kBackend) for a report that cannot be read, and where a layer runs in another precision
// than asked.
void check_precisions(const std::vector<std::string> &reports, std::vector<LayerPrecision> *layers);

}  // namespace esr::tensorrt
