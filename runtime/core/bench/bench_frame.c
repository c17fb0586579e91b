/* Times whole YUV 4:2:0 frames through the C API, and says what opening and memory cost.
 *
 *   bench_frame BUNDLE [PRECISION [THREADS [WIDTHxHEIGHT]]]
 *
 * Defaults: the bundle's precision, one thread per physical core, 640x360.
 */
#include <edge_sr/edge_sr.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

enum { kOpenings = 9, kWarmUp = 10, kFrames = 200 };

static double now_ms(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
}

static int compare(const void *a, const void *b) {
  const double difference = *(const double *)a - *(const double *)b;
  return difference < 0 ? -1 : difference > 0;
}

static double median(double *values, size_t count) {
  qsort(values, count, sizeof(*values), compare);
  return values[count / 2];
}

static int fail(const char *what) {
  fprintf(stderr, "error: %s\n", what);
  return 1;
}

/* Planes of a frame, filled with a texture. */
static int allocate(esr_frame *frame, int32_t width, int32_t height) {
  esr_frame_init(frame);
  frame->width = width;
  frame->height = height;
  for (int i = 0; i < 3; ++i) {
    const size_t row = (size_t)(i == 0 ? width : (width + 1) / 2);
    const size_t rows = (size_t)(i == 0 ? height : (height + 1) / 2);
    uint8_t *samples = malloc(row * rows);
    if (samples == NULL) return 0;
    for (size_t k = 0; k < row * rows; ++k) samples[k] = (uint8_t)(64 + k * k / 7 % 128);
    frame->data[i] = samples;
    frame->stride_bytes[i] = (ptrdiff_t)row;
  }
  return 1;
}

static double opening_ms(const char *bundle, const esr_options *options, esr_upscaler **upscaler) {
  double samples[kOpenings];
  for (int i = 0; i < kOpenings; ++i) {
    esr_upscaler_close(upscaler);
    const double start = now_ms();
    if (esr_upscaler_open(bundle, options, upscaler) != ESR_OK) return -1;
    samples[i] = now_ms() - start;
  }
  return median(samples, kOpenings);
}

int main(int argc, char **argv) {
  int32_t width = 640;
  int32_t height = 360;
  if (argc < 2 || argc > 5) {
    return fail("usage: bench_frame BUNDLE [PRECISION [THREADS [WIDTHxHEIGHT]]]");
  }
  if (argc > 4 && sscanf(argv[4], "%dx%d", &width, &height) != 2) {
    return fail("a size is WIDTHxHEIGHT, such as 640x360");
  }
  if (width < 1 || height < 1 || width > 16384 || height > 16384) {
    return fail("sides are 1..16384");
  }
  esr_options options;
  esr_options_init(&options);
  options.precision = argc > 2 ? argv[2] : NULL;
  options.num_threads = argc > 3 ? atoi(argv[3]) : 0;
  esr_upscaler *upscaler = NULL;
  const double opening = opening_ms(argv[1], &options, &upscaler);
  if (upscaler == NULL) return fail(esr_last_error());

  esr_info info;
  esr_info_init(&info);
  esr_upscaler_get_info(upscaler, &info);
  esr_frame lr;
  esr_frame sr;
  if (!allocate(&lr, width, height) || !allocate(&sr, width * info.scale, height * info.scale)) {
    return fail("out of memory");
  }
  static double samples[kFrames];
  for (int i = -kWarmUp; i < kFrames; ++i) {
    const double start = now_ms();
    if (esr_upscale_frame(upscaler, &lr, &sr) != ESR_OK) return fail(esr_last_error());
    if (i >= 0) samples[i] = now_ms() - start;
  }
  const double frame = median(samples, kFrames);
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  printf("%s on %s, %d threads, %dx%d x%d: %.2f ms a frame, opened in %.2f ms, peak %.1f MB\n",
         info.precision, info.isa, (int)info.num_threads, (int)width, (int)height, (int)info.scale,
         frame, opening, (double)usage.ru_maxrss / 1024.0);
  for (int i = 0; i < 3; ++i) {
    free(lr.data[i]);
    free(sr.data[i]);
  }
  esr_upscaler_close(&upscaler);
  return 0;
}
