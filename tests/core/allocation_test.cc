// The per-frame path allocates nothing once it has seen a frame of the size.
#include <edge_sr/edge_sr.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <vector>

namespace {
std::atomic<long> allocations{0};

void *counted(std::size_t size, std::size_t alignment) {
  ++allocations;
  const std::size_t rounded = (size + alignment - 1) / alignment * alignment;
  void *memory = std::aligned_alloc(alignment, rounded == 0 ? alignment : rounded);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
}  // namespace

void *operator new(std::size_t size) { return counted(size, 16); }
void *operator new[](std::size_t size) { return counted(size, 16); }
void *operator new(std::size_t size, std::align_val_t alignment) {
  return counted(size, static_cast<std::size_t>(alignment));
}
void operator delete(void *memory) noexcept { std::free(memory); }
void operator delete[](void *memory) noexcept { std::free(memory); }
void operator delete(void *memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void *memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void *memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void *memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }

namespace {

bool allocates_nothing(const char *bundle, const char *precision, int threads) {
  esr_options options;
  esr_options_init(&options);
  options.precision = precision;
  options.num_threads = threads;
  esr_upscaler *upscaler = nullptr;
  if (esr_upscaler_open(bundle, &options, &upscaler) != ESR_OK) return false;
  std::vector<unsigned char> in(3 * 160 * 90, 90);
  std::vector<unsigned char> out(4 * in.size());
  esr_frame lr;
  esr_frame sr;
  esr_frame_init(&lr);
  esr_frame_init(&sr);
  lr.format = sr.format = ESR_FORMAT_YUV444P;
  lr.width = 160;
  lr.height = 90;
  sr.width = 320;
  sr.height = 180;
  for (int plane = 0; plane < 3; ++plane) {
    lr.data[plane] = in.data() + plane * 160 * 90;
    lr.stride_bytes[plane] = 160;
    sr.data[plane] = out.data() + plane * 320 * 180;
    sr.stride_bytes[plane] = 320;
  }
  bool is_fine = esr_upscale_frame(upscaler, &lr, &sr) == ESR_OK;
  const long before = allocations.load();
  for (int i = 0; i < 5; ++i) is_fine = is_fine && esr_upscale_frame(upscaler, &lr, &sr) == ESR_OK;
  const long added = allocations.load() - before;
  if (added != 0) std::fprintf(stderr, "%s: %ld allocations in 5 frames\n", precision, added);
  esr_upscaler_close(&upscaler);
  return is_fine && added == 0;
}

}  // namespace

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  bool is_fine = true;
  for (const char *precision : {"fp32", "bf16", "int8"}) {
    for (const int threads : {1, 3}) {
      is_fine = allocates_nothing(argv[1], precision, threads) && is_fine;
    }
  }
  return is_fine ? 0 : 1;
}
