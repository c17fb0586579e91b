#include "cpu/cpu_features.h"

#include <cstdlib>
#include <cstring>
#include <string>

#include "base/error.h"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

namespace esr::cpu {
namespace {

struct NamedIsa {
  Isa isa;
  const char *name;
};

constexpr NamedIsa kNames[] = {
    {Isa::kScalar, "scalar"},
    {Isa::kAvx2, "avx2"},
    {Isa::kAvxVnni, "avxvnni"},
    {Isa::kAvx512, "avx512"},
    {Isa::kAvx512Vnni, "avx512vnni"},
    {Isa::kAvx512Bf16, "avx512bf16"},
    {Isa::kNeon, "neon"},
    {Isa::kNeonDot, "neondot"},
};

#if defined(__x86_64__)

struct Leaf {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
};

Leaf cpuid(unsigned leaf, unsigned subleaf) {
  Leaf r;
  __get_cpuid_count(leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx);
  return r;
}

bool bit(unsigned word, int index) { return ((word >> index) & 1U) != 0; }

// Which register files the operating system saves (XCR0): bits 1, 2 for 256, 5, 6, 7 for 512 bits.
unsigned saved_registers() {
  unsigned low = 0, high = 0;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

bool hardware_has(Isa isa) {
  const Leaf one = cpuid(1, 0);
  const Leaf seven = cpuid(7, 0);
  const Leaf seven_one = cpuid(7, 1);
  const unsigned saved = bit(one.ecx, 27) ? saved_registers() : 0;
  const bool avx2 = (saved & 0x06U) == 0x06U && bit(one.ecx, 12) && bit(seven.ebx, 5);
  const bool avx512 = avx2 && (saved & 0xE6U) == 0xE6U && bit(seven.ebx, 16) &&
                      bit(seven.ebx, 17) && bit(seven.ebx, 30) && bit(seven.ebx, 31);
  switch (isa) {
    case Isa::kScalar:
      return true;
    case Isa::kAvx2:
      return avx2;
    case Isa::kAvxVnni:
      return avx2 && bit(seven_one.eax, 4);
    case Isa::kAvx512:
      return avx512;
    case Isa::kAvx512Vnni:
      return avx512 && bit(seven.ecx, 11);
    case Isa::kAvx512Bf16:
      return avx512 && bit(seven.ecx, 11) && bit(seven_one.eax, 5);
    case Isa::kNeon:
    case Isa::kNeonDot:
      break;
  }
  return false;
}

#elif defined(__aarch64__)

bool hardware_has(Isa isa) {
  constexpr unsigned long kDotProduct = 1UL << 20;  // HWCAP_ASIMDDP
  if (isa == Isa::kNeonDot) return (getauxval(AT_HWCAP) & kDotProduct) != 0;
  return isa == Isa::kScalar || isa == Isa::kNeon;
}

#else

bool hardware_has(Isa isa) { return isa == Isa::kScalar; }

#endif

Isa parse_cap(const char *value) {
  std::string choices;
  for (const NamedIsa &named : kNames) {
    if (std::strcmp(named.name, value) == 0) return named.isa;
    choices += std::string(" ") + named.name;
  }
  throw Error(Status::kInvalidArgument,
              "EDGE_SR_ISA " + std::string(value).substr(0, 40) + " is not one of" + choices);
}

Isa cap() {
  const char *value = std::getenv("EDGE_SR_ISA");
  return value == nullptr || *value == '\0' ? Isa::kNeonDot : parse_cap(value);
}

}  // namespace

bool supports(Isa isa) {
  static const Isa highest = cap();
  return isa <= highest && hardware_has(isa);
}

const char *name_of(Isa isa) {
  for (const NamedIsa &named : kNames) {
    if (named.isa == isa) return named.name;
  }
  return "unknown";
}

}  // namespace esr::cpu
