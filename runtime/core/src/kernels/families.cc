#include "kernels/families.h"

namespace esr::kernels {
namespace {

struct Family {
  LaneType type;
  cpu::Isa isa;
  const RowKernels *kernels;
};

constexpr LaneType fp32 = LaneType::kFp32;
constexpr LaneType bf16 = LaneType::kBf16;
constexpr LaneType int8 = LaneType::kInt8;

constexpr Family kFamilies[] = {
#define ESR_FAMILY(isa, precision, name) {precision, isa, &precision##_##name},
#include "kernels/families.inc"
#undef ESR_FAMILY
};

}  // namespace

const RowKernels *select_family(LaneType type) {
  for (const Family &family : kFamilies) {
    if (family.type == type && cpu::supports(family.isa)) return family.kernels;
  }
  return nullptr;
}

}  // namespace esr::kernels
