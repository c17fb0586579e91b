/* Upscales a grey picture: upscale_image BUNDLE IN.pgm OUT.pgm
 *
 * Reads and writes binary PGM with 8 bits.
 */
#include <edge_sr/edge_sr.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct picture {
  int width;
  int height;
  unsigned char *data;
} picture;

static int fail(const char *what, const char *detail) {
  fprintf(stderr, "upscale_image: %s: %s\n", what, detail);
  return 0;
}

static int allocate(picture *p) {
  p->data = malloc((size_t)p->width * (size_t)p->height);
  return p->data != NULL || fail("picture", "out of memory");
}

static int read_pgm(const char *path, picture *p) {
  int largest = 0;
  size_t size;
  FILE *file = fopen(path, "rb");
  if (file == NULL) return fail(path, "cannot be opened");
  if (fscanf(file, "P5 %d %d %d", &p->width, &p->height, &largest) != 3 || largest != 255 ||
      p->width < 1 || p->height < 1 || p->width > 16384 || p->height > 16384 ||
      fgetc(file) == EOF) {
    fclose(file);
    return fail(path, "not a binary PGM of 8 bits");
  }
  size = (size_t)p->width * (size_t)p->height;
  if (!allocate(p) || fread(p->data, 1, size, file) != size) {
    fclose(file);
    return fail(path, "cut off");
  }
  fclose(file);
  return 1;
}

static int write_pgm(const char *path, const picture *p) {
  const size_t size = (size_t)p->width * (size_t)p->height;
  FILE *file = fopen(path, "wb");
  int is_written;
  if (file == NULL) return fail(path, "cannot be created");
  is_written = fprintf(file, "P5\n%d %d\n255\n", p->width, p->height) > 0 &&
               fwrite(p->data, 1, size, file) == size;
  is_written = fclose(file) == 0 && is_written;
  return is_written || fail(path, "cannot be written");
}

static esr_plane plane_of(const picture *p) {
  esr_plane plane;
  esr_plane_init(&plane);
  plane.data = p->data;
  plane.width = p->width;
  plane.height = p->height;
  plane.stride_bytes = p->width;
  return plane;
}

static int upscale(esr_upscaler *upscaler, const picture *in, picture *out) {
  esr_info info;
  esr_plane lr, sr;
  esr_info_init(&info);
  if (esr_upscaler_get_info(upscaler, &info) != ESR_OK) return fail("info", esr_last_error());
  printf("%s x%d, %s on %s, %d threads\n", info.model, (int)info.scale, info.precision, info.isa,
         (int)info.num_threads);
  out->width = in->width * info.scale;
  out->height = in->height * info.scale;
  if (!allocate(out)) return 0;
  lr = plane_of(in);
  sr = plane_of(out);
  return esr_upscale_plane(upscaler, &lr, &sr) == ESR_OK || fail("upscale", esr_last_error());
}

int main(int argc, char **argv) {
  picture in = {0, 0, NULL};
  picture out = {0, 0, NULL};
  esr_upscaler *upscaler = NULL;
  int is_done = 0;
  if (argc != 4) {
    fprintf(stderr, "usage: upscale_image BUNDLE IN.pgm OUT.pgm\n");
    return 2;
  }
  if (esr_upscaler_open(argv[1], NULL, &upscaler) != ESR_OK) {
    fail(argv[1], esr_last_error());
  } else {
    is_done = read_pgm(argv[2], &in) && upscale(upscaler, &in, &out) && write_pgm(argv[3], &out);
  }
  esr_upscaler_close(&upscaler);
  free(in.data);
  free(out.data);
  return is_done ? 0 : 1;
}
