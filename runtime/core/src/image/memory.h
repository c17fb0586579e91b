// Where the rows of a plane lie, as numbers: checked before any of them is touched.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace esr {

// Rows of `row` bytes, `pitch` bytes apart, from `begin` to `end`; `row` <= `pitch`.
struct Area {
  std::uintptr_t begin = 0;
  std::uintptr_t end = 0;
  std::size_t pitch = 0;
  std::size_t row = 0;
};

struct RowLayout {
  const void *data = nullptr;  // first sample of the top row
  std::ptrdiff_t stride = 0;   // in bytes, may be negative
  std::int32_t height = 0;     // at least 1
  std::int64_t samples = 0;    // of a row, with those of other components between
  std::size_t sample_bytes = 1;
};

// Throws Error(kInvalidArgument), which begins with `name`, for rows that overlap one another,
// samples that are not aligned, and memory that does not exist.
Area checked_area(const RowLayout &layout, const std::string &name);

// Planes side by side in the same rows do not overlap.
bool overlap(const Area &a, const Area &b);

}  // namespace esr
