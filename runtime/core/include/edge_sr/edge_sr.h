/* edge-sr: upscales luminance planes and YUV frames with a bundle's network on a CPU or, where the
 * CUDA or the TensorRT plugin lies beside the library, on an NVIDIA GPU.
 *
 *   esr_upscaler *upscaler = NULL;
 *   if (esr_upscaler_open("fsrcnn-x2.esr", NULL, &upscaler) != ESR_OK) {
 *     fprintf(stderr, "%s\n", esr_last_error());
 *     return 1;
 *   }
 *   esr_plane lr, sr;
 *   esr_plane_init(&lr);
 *   esr_plane_init(&sr);
 *   lr.data = in;   lr.width = 640;   lr.height = 360;  lr.stride_bytes = 640;
 *   sr.data = out;  sr.width = 1280;  sr.height = 720;  sr.stride_bytes = 1280;
 *   if (esr_upscale_plane(upscaler, &lr, &sr) != ESR_OK) ...
 *   esr_upscaler_close(&upscaler);
 *
 * Every function that can fail returns a status; its message is esr_last_error(), kept for each
 * thread until that thread's next failing call. An upscaler serves one call at a time: callers
 * that share one must lock it. Different upscalers are independent. Nothing is printed.
 *
 * The environment variable EDGE_SR_ISA (scalar, avx2, avxvnni, avx512, avx512vnni, avx512bf16, neon
 * or neondot) caps the instructions that are used; it is read once, at the first open.
 */
#ifndef EDGE_SR_EDGE_SR_H_
#define EDGE_SR_EDGE_SR_H_

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define ESR_API __attribute__((visibility("default")))
#else
#define ESR_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Versions and errors ---- */

/* Raised when a function or field is added, never otherwise. */
#define ESR_API_VERSION 2

/* ESR_API_VERSION of the library that is loaded. */
ESR_API int32_t esr_api_version(void);

/* Release of the library that is loaded, such as "0.1.0". */
ESR_API const char *esr_version(void);

typedef enum esr_status {
  ESR_OK = 0,
  ESR_ERR_INVALID_ARGUMENT = 1,
  ESR_ERR_IO = 2,           /* a file is missing or cannot be read */
  ESR_ERR_MODEL_FORMAT = 3, /* a bundle or model is malformed or damaged */
  ESR_ERR_UNSUPPORTED = 4,  /* not offered for this model or on this machine */
  ESR_ERR_BACKEND = 5,      /* the system refused something, such as a thread */
  ESR_ERR_OUT_OF_MEMORY = 6,
  ESR_ERR_INTERNAL = 7 /* a bug of the library */
} esr_status;

/* Text of this thread's last failure, one line; "" if there was none. Valid until this thread's
 * next call that fails. */
ESR_API const char *esr_last_error(void);

/* Name of a status, such as "invalid argument". */
ESR_API const char *esr_status_name(int32_t status);

/* ---- Opening ---- */

typedef enum esr_log_level { ESR_LOG_INFO = 1, ESR_LOG_WARNING = 2 } esr_log_level;

/* Called on the calling thread with one line that is valid during the call: while an upscaler is
 * opened, and on device tensorrt at the first frame of a size, which may build a plan. */
typedef void (*esr_log_callback)(void *user, esr_log_level level, const char *message);

typedef struct esr_options {
  size_t struct_size;    /* set by esr_options_init() */
  const char *precision; /* "fp32", "bf16" or "int8"; NULL takes the bundle's default precision,
                            and fp32 where that is fp16. bf16 runs as fp32 on a CPU without
                            AVX512_BF16: esr_info.precision says what runs. Device cuda runs "fp16"
                            from the fp32 weights, which NULL takes too. Device tensorrt runs
                            "fp32", "fp16" or "int8" if the bundle has it, bf16 never. */
  int32_t num_threads;   /* 0 = one per physical core; at most 256. Devices cuda and
                            tensorrt use them for chroma, the latter also for deep samples. */
  int32_t tile_size;     /* side of a tile in LR pixels with its halo; 0 = chosen for the cache.
                            Does not change the result; device cuda chooses by itself, device
                            tensorrt runs whole frames. */
  esr_log_callback log;  /* may be NULL */
  void *log_user;        /* passed to `log` */
  const char *device;    /* since version 2: "cpu", "cuda", "tensorrt", "cuda:N" or "tensorrt:N",
                            the GPU that CUDA counts as N; NULL is "cpu" */
} esr_options;

/* Fills in the defaults above. The function writes a struct of version 1, for programs that were
 * compiled then; the macro hands over the size that this header has. */
ESR_API void esr_options_init(esr_options *options);
ESR_API void esr_options_init_sized(esr_options *options, size_t struct_size);
#define esr_options_init(options) esr_options_init_sized((options), sizeof(esr_options))

typedef struct esr_upscaler esr_upscaler;

/* Opens a bundle folder: reads manifest.json and model.native, checks size and digest. `options`
 * may be NULL for the defaults. On success *out owns the upscaler; release it with
 * esr_upscaler_close(). On failure *out is NULL. Device tensorrt reads the bundle's ONNX graph
 * instead of model.native, when the first frame of a size comes. */
ESR_API esr_status esr_upscaler_open(const char *bundle_path, const esr_options *options,
                                     esr_upscaler **out);

/* Opens the content of a model.native file, which is copied. A NULL precision is int8 if the model
 * holds int8 weights, else fp32. Device tensorrt is refused, since such a model holds no graph.
 * Otherwise as esr_upscaler_open(). */
ESR_API esr_status esr_upscaler_open_buffer(const void *data, size_t size,
                                            const esr_options *options, esr_upscaler **out);

/* Releases an upscaler that no thread uses any more, and sets the pointer to NULL. Accepts NULL and
 * a pointer to NULL. */
ESR_API void esr_upscaler_close(esr_upscaler **upscaler);

typedef struct esr_info {
  size_t struct_size;             /* set by esr_info_init() */
  int32_t scale;                  /* 2, 3 or 4 */
  int32_t receptive_field_radius; /* how far, in LR pixels, an output sees */
  int32_t num_threads;            /* the caller's thread among them */
  int32_t has_base;               /* 1 if the network adds to a bicubic enlargement, else 0; 0 on
                                     device tensorrt, which does not know */
  const char *precision;          /* what runs: "fp32", "bf16", "int8" or "fp16" */
  const char *isa;                /* of the convolutions, such as "avx512vnni" or "sm_90" */
  const char *model;              /* name in the manifest; "" for a buffer */
  const char *device;             /* since version 2: "cpu", "cuda" or "tensorrt" */
} esr_info;

/* Function and macro as for esr_options_init(). */
ESR_API void esr_info_init(esr_info *info);
ESR_API void esr_info_init_sized(esr_info *info, size_t struct_size);
#define esr_info_init(info) esr_info_init_sized((info), sizeof(esr_info))

/* Facts about an open upscaler; texts live as long as it. */
ESR_API esr_status esr_upscaler_get_info(const esr_upscaler *upscaler, esr_info *info);

/* ---- Planes ---- */

typedef enum esr_sample_type {
  ESR_SAMPLE_UINT8 = 0,  /* 8 bits */
  ESR_SAMPLE_UINT16 = 1, /* `bit_depth` bits in the low end of a 16-bit word */
  ESR_SAMPLE_FLOAT32 = 2 /* grey levels on the 8-bit scale, 0..255; results are not clamped */
} esr_sample_type;

/* A view of samples that the caller owns. Rows lie `stride_bytes` apart, which may be negative
 * (then `data` is the top row, highest in memory). Sides are 1..16384. 16-bit and float samples and
 * their strides are aligned to the sample. */
typedef struct esr_plane {
  size_t struct_size; /* set by esr_plane_init() */
  void *data;
  int32_t width;
  int32_t height;
  ptrdiff_t stride_bytes;
  int32_t sample_type; /* an esr_sample_type */
  int32_t bit_depth;   /* 8 for uint8 and float32, 9..16 for uint16 */
} esr_plane;

/* No data, uint8, 8 bits. */
ESR_API void esr_plane_init(esr_plane *plane);

/* Upscales a luminance plane. `sr` is `scale` times larger, of the same type and depth; the two do
 * not overlap. Samples of b bits are divided by 2^(b-8) on the way in and multiplied on the way
 * out, rounded half to even and clamped to 0..2^b-1. `lr` is not written. Memory is allocated only
 * when a frame is larger than all before, on a GPU when it is of another size. After an error `sr`
 * is as it was. On device tensorrt the first frame of a size takes the plan for it from the user's
 * cache, or builds it for seconds to minutes. */
ESR_API esr_status esr_upscale_plane(esr_upscaler *upscaler, const esr_plane *lr,
                                     const esr_plane *sr);

/* Since version 2: the same for planes in the memory of an upscaler's GPU. The work goes behind
 * that of `stream`, a cudaStream_t, and the call returns; only a first frame of another size than
 * the last waits for the device. The frames of one upscaler run one after the other: whoever gives
 * them to several streams orders these. ESR_ERR_UNSUPPORTED on a CPU, and on device tensorrt for
 * uint16 samples and negative strides. */
ESR_API esr_status esr_upscale_device_plane(esr_upscaler *upscaler, const esr_plane *lr,
                                            const esr_plane *sr, void *stream);

/* ---- YUV frames ---- */

typedef enum esr_pixel_format {
  ESR_FORMAT_GREY = 0,
  ESR_FORMAT_YUV420P = 1,
  ESR_FORMAT_YUV422P = 2,
  ESR_FORMAT_YUV444P = 3,
  ESR_FORMAT_NV12 = 4, /* 4:2:0 with U and V interleaved in plane 1 */
  ESR_FORMAT_P010 = 5  /* as NV12, 9..16 bits at the high end of 16-bit words: P010, P012, P016.
                          The bits below are zero in `lr` and in `sr`. */
} esr_pixel_format;

/* Where chroma samples of a subsampled format lie among those of luma. */
typedef enum esr_chroma_location {
  ESR_CHROMA_LEFT = 0,     /* on every second column, between two rows: MPEG-2, H.264 */
  ESR_CHROMA_CENTER = 1,   /* between columns and rows: JPEG, MPEG-1 */
  ESR_CHROMA_TOP_LEFT = 2, /* on columns and rows: BT.2020 */
  ESR_CHROMA_TOP = 3       /* between columns, on rows */
} esr_chroma_location;

/* Sizes are those of luma; chroma planes of odd luma sides are rounded up. Depth 8 is uint8,
 * 9..16 uint16 with its bits at the low end, but for P010. */
typedef struct esr_frame {
  size_t struct_size; /* set by esr_frame_init() */
  int32_t format;     /* an esr_pixel_format */
  int32_t width;
  int32_t height;
  int32_t bit_depth;
  int32_t chroma_location; /* an esr_chroma_location */
  void *data[3];
  ptrdiff_t stride_bytes[3];
} esr_frame;

/* No data, 4:2:0, 8 bits, chroma left. */
ESR_API void esr_frame_init(esr_frame *frame);

/* Upscales luma with the network and chroma with bicubic interpolation that keeps its location.
 * `sr` is `scale` times larger, of the same format, depth and chroma location; its planes overlap
 * neither those of `lr` nor one another. Otherwise as esr_upscale_plane(). */
ESR_API esr_status esr_upscale_frame(esr_upscaler *upscaler, const esr_frame *lr,
                                     const esr_frame *sr);

#ifdef __cplusplus
}
#endif

#endif /* EDGE_SR_EDGE_SR_H_ */
