#include "image/memory.h"

#include <limits>

#include "base/error.h"

namespace esr {
namespace {

[[noreturn]] void fail(const std::string &message) {
  throw Error(Status::kInvalidArgument, message);
}

}  // namespace

Area checked_area(const RowLayout &layout, const std::string &name) {
  if (layout.data == nullptr) fail(name + " has no data");
  const auto sample_bytes = static_cast<std::int64_t>(layout.sample_bytes);
  const std::int64_t row = layout.samples * sample_bytes;
  const std::int64_t stride = layout.stride;
  constexpr std::int64_t kLargestStride = std::int64_t{1} << 30;
  // The negation of the smallest stride overflows; compare both signs instead.
  const bool is_bounded = stride >= -kLargestStride && stride <= kLargestStride;
  if (!is_bounded || (stride < row && stride > -row)) {
    fail(name + " has a stride of " + std::to_string(stride) + " bytes, its rows have " +
         std::to_string(row));
  }
  const auto address = reinterpret_cast<std::uintptr_t>(layout.data);
  if (address % layout.sample_bytes != 0 || stride % sample_bytes != 0) {
    fail(name + " is not aligned to its samples of " + std::to_string(sample_bytes) + " bytes");
  }
  const auto pitch = static_cast<std::uint64_t>(stride < 0 ? -stride : stride);
  const std::uint64_t between = pitch * static_cast<std::uint64_t>(layout.height - 1);
  const std::uint64_t below = stride < 0 ? between : 0;
  const std::uint64_t above = (stride < 0 ? 0 : between) + static_cast<std::uint64_t>(row);
  if (below > address || above > std::numeric_limits<std::uintptr_t>::max() - address) {
    fail(name + " has rows past the end of memory");
  }
  return {address - static_cast<std::uintptr_t>(below),
          address + static_cast<std::uintptr_t>(above), static_cast<std::size_t>(pitch),
          static_cast<std::size_t>(row)};
}

bool overlap(const Area &a, const Area &b) {
  if (a.end <= b.begin || b.end <= a.begin) return false;
  if (a.pitch != b.pitch) return true;
  const bool is_first = a.begin <= b.begin;
  const Area &first = is_first ? a : b;
  const Area &second = is_first ? b : a;
  const std::size_t column = (second.begin - first.begin) % first.pitch;
  return column < first.row || column + second.row > first.pitch;
}

}  // namespace esr
