// Reads model.native: a safetensors file whose metadata lists the chain.
#pragma once

#include <cstddef>
#include <cstdint>

#include "backends/native/network.h"

namespace esr::native {

// Every number is bounded before use. Throws Error(kModelFormat) for a malformed file.
Network parse_network(const std::uint8_t *data, std::size_t size);

}  // namespace esr::native
