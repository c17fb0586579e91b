/* The C API from C99, through nothing but its header. */
#include <edge_sr/edge_sr.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures = 0;

static void check(int condition, const char *text, int line) {
  if (condition) return;
  ++failures;
  fprintf(stderr, "c_api_test.c:%d: %s (%s)\n", line, text, esr_last_error());
}
#define CHECK(condition) check((condition), #condition, __LINE__)

static void check_refusal(esr_status found, esr_status expected, const char *part, int line) {
  if (found == expected && strstr(esr_last_error(), part) != NULL) return;
  ++failures;
  fprintf(stderr, "c_api_test.c:%d: status %d, \"%s\", expected %d, \"%s\"\n", line, (int)found,
          esr_last_error(), (int)expected, part);
}
#define CHECK_REFUSED(call, expected, part) check_refusal((call), (expected), (part), __LINE__)

enum { kWidth = 50, kHeight = 34 };

static esr_upscaler *open_bundle(const char *bundle, const char *precision) {
  esr_upscaler *upscaler = NULL;
  esr_options options;
  esr_options_init(&options);
  options.precision = precision;
  options.num_threads = 2;
  CHECK(esr_upscaler_open(bundle, &options, &upscaler) == ESR_OK);
  if (upscaler == NULL) exit(1);
  return upscaler;
}

static esr_plane plane_of(void *data, int32_t width, int32_t height) {
  esr_plane plane;
  esr_plane_init(&plane);
  plane.data = data;
  plane.width = width;
  plane.height = height;
  plane.stride_bytes = width;
  return plane;
}

static void fill(uint8_t *data, size_t count) {
  size_t i;
  for (i = 0; i < count; ++i) data[i] = (uint8_t)(i * 37 % 251);
}

static void test_versions(void) {
  CHECK(esr_api_version() == ESR_API_VERSION);
  CHECK(strlen(esr_version()) >= 5);
  CHECK(strcmp(esr_status_name(99), "unknown status") == 0);
  CHECK(strcmp(esr_status_name(ESR_ERR_IO), "input or output failed") == 0);
}

static void test_info(const char *bundle) {
  esr_info info;
  esr_upscaler *upscaler = open_bundle(bundle, NULL);
  esr_info_init(&info);
  CHECK(esr_upscaler_get_info(upscaler, &info) == ESR_OK);
  CHECK(info.scale == 2 && info.receptive_field_radius == 8 && info.num_threads == 2);
  CHECK(strcmp(info.precision, "int8") == 0);
  CHECK(strcmp(info.model, "fsrcnn_residual") == 0);
  CHECK(strlen(info.isa) > 0);
  esr_upscaler_close(&upscaler);
  CHECK(upscaler == NULL);
  esr_upscaler_close(&upscaler);
  esr_upscaler_close(NULL);
}

/* A flat picture stays flat in its middle, at its level. */
static void test_flat_picture(const char *bundle, const char *precision) {
  static uint8_t in[kWidth * kHeight];
  static uint8_t out[4 * kWidth * kHeight];
  esr_upscaler *upscaler = open_bundle(bundle, precision);
  const esr_plane lr = plane_of(in, kWidth, kHeight);
  const esr_plane sr = plane_of(out, 2 * kWidth, 2 * kHeight);
  int level;
  memset(in, 100, sizeof in);
  CHECK(esr_upscale_plane(upscaler, &lr, &sr) == ESR_OK);
  level = out[kHeight * 2 * kWidth + kWidth];
  CHECK(level >= 98 && level <= 102);
  esr_upscaler_close(&upscaler);
}

static void test_bad_planes(const char *bundle) {
  static uint8_t in[kWidth * kHeight];
  static uint8_t out[4 * kWidth * kHeight];
  esr_upscaler *upscaler = open_bundle(bundle, "fp32");
  const esr_plane lr = plane_of(in, kWidth, kHeight);
  const esr_plane sr = plane_of(out, 2 * kWidth, 2 * kHeight);
  esr_plane bad = sr;
  const esr_status invalid = ESR_ERR_INVALID_ARGUMENT;
  CHECK_REFUSED(esr_upscale_plane(NULL, &lr, &sr), invalid, "upscaler is NULL");
  CHECK_REFUSED(esr_upscale_plane(upscaler, NULL, &sr), invalid, "lr is NULL");
  bad.width = 99;
  CHECK_REFUSED(esr_upscale_plane(upscaler, &lr, &bad), invalid,
                "99x68 is not 2 times lr of 50x34");
  bad = lr;
  bad.data = NULL;
  CHECK_REFUSED(esr_upscale_plane(upscaler, &bad, &sr), invalid, "lr has no data");
  bad = lr;
  bad.stride_bytes = 49;
  CHECK_REFUSED(esr_upscale_plane(upscaler, &bad, &sr), invalid, "a stride of 49 bytes");
  bad = lr;
  bad.stride_bytes = -PTRDIFF_MAX - 1;
  CHECK_REFUSED(esr_upscale_plane(upscaler, &bad, &sr), invalid, "a stride of");
  bad = lr;
  bad.height = 0;
  CHECK_REFUSED(esr_upscale_plane(upscaler, &bad, &sr), invalid, "50x0 is not within");
  bad.height = INT32_MAX;
  CHECK_REFUSED(esr_upscale_plane(upscaler, &bad, &sr), invalid, "is not within");
  bad = lr;
  bad.bit_depth = 10;
  CHECK_REFUSED(esr_upscale_plane(upscaler, &bad, &sr), invalid, "do not belong together");
  bad = lr;
  bad.sample_type = 7;
  CHECK_REFUSED(esr_upscale_plane(upscaler, &bad, &sr), invalid, "sample type 7");
  bad = lr;
  bad.data = out;
  CHECK_REFUSED(esr_upscale_plane(upscaler, &bad, &sr), invalid, "overlap in memory");
  bad = lr;
  bad.struct_size = 0;
  CHECK_REFUSED(esr_upscale_plane(upscaler, &bad, &sr), invalid, "not filled by its init function");
  bad = lr;
  bad.data = in + 1;
  bad.width = 10;
  bad.height = 10;
  bad.sample_type = ESR_SAMPLE_UINT16;
  bad.bit_depth = 10;
  bad.stride_bytes = 20;
  CHECK_REFUSED(esr_upscale_plane(upscaler, &bad, &sr), invalid, "not aligned to its samples");
  esr_upscaler_close(&upscaler);
}

static void test_bad_opening(const char *bundle) {
  esr_upscaler *upscaler = (esr_upscaler *)&failures;
  esr_options options;
  esr_options_init(&options);
  CHECK_REFUSED(esr_upscaler_open("/nonexistent.esr", NULL, &upscaler), ESR_ERR_IO,
                "does not exist");
  CHECK(upscaler == NULL);
  CHECK_REFUSED(esr_upscaler_open(NULL, NULL, &upscaler), ESR_ERR_INVALID_ARGUMENT, "is NULL");
  CHECK_REFUSED(esr_upscaler_open(bundle, NULL, NULL), ESR_ERR_INVALID_ARGUMENT, "out is NULL");
  options.precision = "fp16";
  CHECK_REFUSED(esr_upscaler_open(bundle, &options, &upscaler), ESR_ERR_UNSUPPORTED, "for GPU");
  options.precision = "int4";
  CHECK_REFUSED(esr_upscaler_open(bundle, &options, &upscaler), ESR_ERR_INVALID_ARGUMENT, "int4");
  options.precision = NULL;
  options.tile_size = 16;
  CHECK_REFUSED(esr_upscaler_open(bundle, &options, &upscaler), ESR_ERR_INVALID_ARGUMENT,
                "use at least 17");
  options.tile_size = 0;
  options.num_threads = 1000;
  CHECK_REFUSED(esr_upscaler_open(bundle, &options, &upscaler), ESR_ERR_INVALID_ARGUMENT, "1000");
  CHECK_REFUSED(esr_upscaler_open_buffer("abc", 3, NULL, &upscaler), ESR_ERR_MODEL_FORMAT, "cut");
}

static esr_frame frame_of(uint8_t *data, int32_t width, int32_t height) {
  esr_frame frame;
  const int32_t half = (width + 1) / 2;
  esr_frame_init(&frame);
  frame.width = width;
  frame.height = height;
  frame.data[0] = data;
  frame.data[1] = data + width * height;
  frame.data[2] = data + width * height + half * ((height + 1) / 2);
  frame.stride_bytes[0] = width;
  frame.stride_bytes[1] = half;
  frame.stride_bytes[2] = half;
  return frame;
}

/* Luma of a frame is what the plane function gives; flat chroma stays flat; odd sizes work. */
static void test_frame(const char *bundle) {
  enum { kOddWidth = 49, kOddHeight = 33, kLuma = kOddWidth * kOddHeight };
  static uint8_t in[kLuma + 2 * 25 * 17];
  static uint8_t out[4 * kLuma + 2 * 49 * 33];
  static uint8_t luma[4 * kLuma];
  esr_upscaler *upscaler = open_bundle(bundle, "int8");
  esr_frame lr = frame_of(in, kOddWidth, kOddHeight);
  esr_frame sr = frame_of(out, 2 * kOddWidth, 2 * kOddHeight);
  const esr_plane lr_plane = plane_of(in, kOddWidth, kOddHeight);
  const esr_plane sr_plane = plane_of(luma, 2 * kOddWidth, 2 * kOddHeight);
  size_t i;
  fill(in, kLuma);
  memset(in + kLuma, 77, 25 * 17);
  memset(in + kLuma + 25 * 17, 200, 25 * 17);
  CHECK(esr_upscale_frame(upscaler, &lr, &sr) == ESR_OK);
  CHECK(esr_upscale_plane(upscaler, &lr_plane, &sr_plane) == ESR_OK);
  CHECK(memcmp(out, luma, sizeof luma) == 0);
  for (i = 0; i < 49 * 33; ++i) {
    if (out[4 * kLuma + i] != 77 || out[4 * kLuma + 49 * 33 + i] != 200) break;
  }
  CHECK(i == 49 * 33);
  sr.format = ESR_FORMAT_YUV444P;
  CHECK_REFUSED(esr_upscale_frame(upscaler, &lr, &sr), ESR_ERR_INVALID_ARGUMENT,
                "sr plane 1 has a stride");
  lr.format = 42;
  CHECK_REFUSED(esr_upscale_frame(upscaler, &lr, &sr), ESR_ERR_INVALID_ARGUMENT, "format 42");
  esr_upscaler_close(&upscaler);
}

int main(int argc, char **argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: c_api_test BUNDLE\n");
    return 2;
  }
  test_versions();
  test_info(argv[1]);
  test_flat_picture(argv[1], "fp32");
  test_flat_picture(argv[1], "bf16");
  test_flat_picture(argv[1], "int8");
  test_bad_planes(argv[1]);
  test_bad_opening(argv[1]);
  test_frame(argv[1]);
  return failures == 0 ? 0 : 1;
}
