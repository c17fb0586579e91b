// SHA-256 (FIPS 180-4), for the digests of a manifest.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace esr {

// 64 lower-case hexadecimal digits.
std::string sha256(const std::uint8_t *data, std::size_t size);

}  // namespace esr
