// Files, read and written whole.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace esr {

// False only if there is nothing of that name.
bool exists(const std::string &path);

// The following throw Error(kIo).

// Of a regular file.
std::size_t size_of(const std::string &path);

std::vector<std::uint8_t> read_file(const std::string &path, std::size_t bytes);

// The file appears under its name whole or not at all.
void write_file(const std::string &path, std::string_view content);

}  // namespace esr
