// What this CPU can do, capped by the environment variable EDGE_SR_ISA.
#pragma once

#include <cstdint>

namespace esr::cpu {

// Every set includes those it is built on: kAvx512Vnni has F, BW, VL, DQ and VNNI.
enum class Isa : std::uint8_t {
  kScalar,
  kAvx2,        // AVX2 and FMA
  kAvxVnni,     // kAvx2 and AVX-VNNI (256-bit)
  kAvx512,      // kAvx2 and AVX-512 F, BW, VL, DQ
  kAvx512Vnni,  // kAvx512 and AVX512_VNNI
  kAvx512Bf16,  // kAvx512Vnni and AVX512_BF16
  kNeon,
  kNeonDot,  // kNeon and the dot-product instructions
};

// True if the CPU and the operating system have it and EDGE_SR_ISA, read once, does not forbid it.
// The cap is inclusive: avx512vnni allows scalar, avx2, avxvnni, avx512 and avx512vnni. A value
// that is no ISA name throws Error(kInvalidArgument) naming the choices.
bool supports(Isa isa);

const char *name_of(Isa isa);

}  // namespace esr::cpu
