#include "backends/native/picture_taps.h"

namespace esr::native {
namespace {

// Kernel rows ky .. ky+count-1 side by side in the lanes, one tap per column.
void add_rows(int kernel, int ky, int count, PictureTaps *plan) {
  PictureLanes lanes;
  for (int c = 0; c < count; ++c) {
    lanes.sources[static_cast<std::size_t>(c)] = {true, ky + c - kernel / 2, 0};
  }
  const int row = static_cast<int>(plan->rows.size());
  plan->rows.push_back(lanes);
  for (int kx = 0; kx < kernel; ++kx) {
    PictureTap tap{row, kx - kernel / 2, {}};
    for (int c = 0; c < count; ++c) tap.slots[static_cast<std::size_t>(c)] = {0, ky + c, kx};
    plan->taps.push_back(tap);
  }
}

// Kernel row ky with neighbouring columns in the lanes.
void add_columns(int kernel, int ky, int channels_per_lane, PictureTaps *plan) {
  PictureLanes lanes;
  for (int c = 0; c < channels_per_lane; ++c) {
    lanes.sources[static_cast<std::size_t>(c)] = {true, ky - kernel / 2, c};
  }
  const int row = static_cast<int>(plan->rows.size());
  plan->rows.push_back(lanes);
  for (int kx = 0; kx < kernel; kx += channels_per_lane) {
    PictureTap tap{row, kx - kernel / 2, {}};
    for (int c = 0; c < channels_per_lane && kx + c < kernel; ++c) {
      tap.slots[static_cast<std::size_t>(c)] = {0, ky, kx + c};
    }
    plan->taps.push_back(tap);
  }
}

}  // namespace

PictureTaps plan_picture_taps(int kernel, int channels_per_lane) {
  PictureTaps plan;
  int ky = 0;
  for (; ky + channels_per_lane <= kernel; ky += channels_per_lane) {
    add_rows(kernel, ky, channels_per_lane, &plan);
  }
  const int left = kernel - ky;
  const int taps_by_columns = left * ((kernel + channels_per_lane - 1) / channels_per_lane);
  if (left > 0 && taps_by_columns >= kernel) add_rows(kernel, ky, left, &plan);
  if (left > 0 && taps_by_columns < kernel) {
    for (; ky < kernel; ++ky) add_columns(kernel, ky, channels_per_lane, &plan);
  }
  return plan;
}

}  // namespace esr::native
