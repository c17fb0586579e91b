// Every ISA's kernels, and the choice among them.
#pragma once

#include "cpu/cpu_features.h"
#include "kernels/row_kernels.h"

namespace esr::kernels {

#define ESR_FAMILY(isa, precision, name) extern const RowKernels precision##_##name;
#include "kernels/families.inc"
#undef ESR_FAMILY

enum class LaneType : std::uint8_t { kFp32, kBf16, kInt8 };

// The best family of this lane type that this CPU runs, or null (only bfloat16 can lack one).
const RowKernels *select_family(LaneType type);

}  // namespace esr::kernels
