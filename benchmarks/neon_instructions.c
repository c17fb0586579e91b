/* Upscales a synthetic frame a few times on one thread, for neon_instructions.py to count:
 *
 *   neon_instructions BUNDLE PRECISION WIDTH HEIGHT FRAMES
 *
 * Prints what runs, such as "int8 neondot", or what failed.
 */
#include <edge_sr/edge_sr.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static int fail(const char *what) {
  printf("%s: %s\n", what, esr_last_error());
  return 1;
}

static esr_plane make_plane(int32_t width, int32_t height) {
  esr_plane plane;
  uint32_t state = 1;
  size_t size = (size_t)width * (size_t)height;
  uint8_t *data = malloc(size);
  esr_plane_init(&plane);
  plane.data = data;
  plane.width = width;
  plane.height = height;
  plane.stride_bytes = width;
  while (data != NULL && size-- > 0) {
    state = state * 1664525U + 1013904223U;
    data[size] = (uint8_t)(state >> 24);
  }
  return plane;
}

int main(int argc, char **argv) {
  esr_upscaler *upscaler = NULL;
  esr_options options;
  esr_info info;
  esr_plane lr, sr;
  int frames;
  if (argc != 6) return 2;
  esr_options_init(&options);
  options.precision = argv[2];
  options.num_threads = 1;
  if (esr_upscaler_open(argv[1], &options, &upscaler) != ESR_OK) return fail("open");
  esr_info_init(&info);
  if (esr_upscaler_get_info(upscaler, &info) != ESR_OK) return fail("info");
  lr = make_plane(atoi(argv[3]), atoi(argv[4]));
  sr = make_plane(lr.width * info.scale, lr.height * info.scale);
  for (frames = atoi(argv[5]); frames > 0; --frames) {
    if (esr_upscale_plane(upscaler, &lr, &sr) != ESR_OK) return fail("upscale");
  }
  printf("%s %s\n", info.precision, info.isa);
  esr_upscaler_close(&upscaler);
  free(lr.data);
  free(sr.data);
  return 0;
}
