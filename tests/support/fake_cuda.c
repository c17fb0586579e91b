/* A CUDA driver on the CPU for tests: device memory is host memory, streams run at once or record
 * into a graph. Calls can be made to fail, and what is not given back is counted. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int CUresult;
typedef uint64_t CUdeviceptr;
enum { kOk = 0, kInvalidValue = 1, kOutOfMemory = 2, kNoDevice = 100, kCaptureUnsupported = 900 };

/* ---- What tests ask and arrange ---- */

static char fail_name[64];
static int fail_after, fail_code;
static int live, devices = 1;
static char calls[1 << 16];

void fake_reset(void) {
  fail_name[0] = 0;
  live = 0;
  devices = 1;
  calls[0] = 0;
}
void fake_fail(const char *name, int after, int code) {
  snprintf(fail_name, sizeof fail_name, "%s", name);
  fail_after = after;
  fail_code = code;
}
void fake_devices(int count) { devices = count; }
int fake_live(void) { return live; }
const char *fake_calls(void) { return calls; }

static int failing(const char *name) {
  const size_t used = strlen(calls);
  if (used + strlen(name) + 2 < sizeof calls) sprintf(calls + used, "%s\n", name);
  if (strcmp(name, fail_name) != 0) return 0;
  if (fail_after-- > 0) return 0;
  return fail_code;
}
#define BEGIN                                \
  {                                          \
    const int failure = failing(__func__);   \
    if (failure) return failure;             \
  }

/* ---- Streams and graphs ---- */

typedef void (*Callback)(void *);
typedef struct Copy2D {
  size_t source_x, source_y;
  int source_type;
  const void *source_host;
  CUdeviceptr source_device;
  void *source_array;
  size_t source_pitch, target_x, target_y;
  int target_type;
  void *target_host;
  CUdeviceptr target_device;
  void *target_array;
  size_t target_pitch, width_in_bytes, height;
} Copy2D;

typedef struct Work {
  Callback callback; /* or else a copy of rows */
  void *argument;
  char *target;
  const char *source;
  size_t row, rows, target_pitch, source_pitch;
} Work;

typedef struct Graph {
  Work work[64];
  int count;
} Graph;

typedef struct Stream {
  Graph *recording;
} Stream;

static void perform(const Work *work) {
  if (work->callback) {
    work->callback(work->argument);
    return;
  }
  for (size_t y = 0; y < work->rows; ++y) {
    memcpy(work->target + y * work->target_pitch, work->source + y * work->source_pitch, work->row);
  }
}

static CUresult enqueue(void *stream, const Work *work) {
  /* Small numbers are the legacy and per-thread default streams. */
  Stream *own = (uintptr_t)stream > 2 ? stream : NULL;
  if (own && own->recording) {
    if (own->recording->count == 64) return kCaptureUnsupported;
    own->recording->work[own->recording->count++] = *work;
  } else {
    perform(work);
  }
  return kOk;
}

/* For a stand-in of TensorRT: work of its own on a stream. */
int fake_enqueue(void *stream, Callback callback, void *argument) {
  const Work work = {.callback = callback, .argument = argument};
  return enqueue(stream, &work);
}

static CUresult copy(void *stream, void *target, const void *source, size_t size) {
  const Work work = {.target = target, .source = source, .row = size, .rows = 1};
  return enqueue(stream, &work);
}

CUresult cuStreamCreate(void **stream, unsigned flags) {
  BEGIN
  (void)flags;
  *stream = calloc(1, sizeof(Stream));
  ++live;
  return kOk;
}
CUresult cuStreamDestroy_v2(void *stream) {
  BEGIN
  free(stream);
  --live;
  return kOk;
}
CUresult cuStreamSynchronize(void *stream) {
  BEGIN
  (void)stream;
  return kOk;
}
CUresult cuStreamBeginCapture_v2(void *stream, int mode) {
  BEGIN
  (void)mode;
  ((Stream *)stream)->recording = calloc(1, sizeof(Graph));
  ++live;
  return kOk;
}
CUresult cuStreamEndCapture(void *stream, void **graph) {
  BEGIN
  *graph = ((Stream *)stream)->recording;
  ((Stream *)stream)->recording = NULL;
  return kOk;
}
CUresult cuGraphInstantiateWithFlags(void **executable, void *graph, uint64_t flags) {
  BEGIN
  (void)flags;
  *executable = malloc(sizeof(Graph));
  memcpy(*executable, graph, sizeof(Graph));
  ++live;
  return kOk;
}
CUresult cuGraphLaunch(void *executable, void *stream) {
  BEGIN
  (void)stream;
  const Graph *graph = executable;
  for (int i = 0; i < graph->count; ++i) perform(&graph->work[i]);
  return kOk;
}
CUresult cuGraphExecDestroy(void *executable) {
  BEGIN
  free(executable);
  --live;
  return kOk;
}
CUresult cuGraphDestroy(void *graph) {
  BEGIN
  free(graph);
  --live;
  return kOk;
}

/* ---- Memory ---- */

CUresult cuMemAlloc_v2(CUdeviceptr *pointer, size_t size) {
  BEGIN
  *pointer = (CUdeviceptr)(uintptr_t)aligned_alloc(256, (size + 255) / 256 * 256);
  memset((void *)(uintptr_t)*pointer, 0xCD, size);
  ++live;
  return kOk;
}
CUresult cuMemFree_v2(CUdeviceptr pointer) {
  BEGIN
  free((void *)(uintptr_t)pointer);
  --live;
  return kOk;
}
CUresult cuMemHostAlloc(void **pointer, size_t size, unsigned flags) {
  BEGIN
  (void)flags;
  *pointer = malloc(size);
  memset(*pointer, 0xAB, size);
  ++live;
  return kOk;
}
CUresult cuMemFreeHost(void *pointer) {
  BEGIN
  free(pointer);
  --live;
  return kOk;
}
CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr target, const void *source, size_t size, void *stream) {
  BEGIN
  return copy(stream, (void *)(uintptr_t)target, source, size);
}
CUresult cuMemcpyDtoHAsync_v2(void *target, CUdeviceptr source, size_t size, void *stream) {
  BEGIN
  return copy(stream, target, (const void *)(uintptr_t)source, size);
}
CUresult cuMemcpy2DAsync_v2(const Copy2D *rows, void *stream) {
  BEGIN
  if (rows->source_type != 2 || rows->target_type != 2) return kInvalidValue;
  const Work work = {.target = (char *)(uintptr_t)rows->target_device,
                     .source = (const char *)(uintptr_t)rows->source_device,
                     .row = rows->width_in_bytes,
                     .rows = rows->height,
                     .target_pitch = rows->target_pitch,
                     .source_pitch = rows->source_pitch};
  return enqueue(stream, &work);
}

/* ---- Events ---- */

CUresult cuEventCreate(void **event, unsigned flags) {
  BEGIN
  (void)flags;
  *event = malloc(1);
  ++live;
  return kOk;
}
CUresult cuEventDestroy_v2(void *event) {
  BEGIN
  free(event);
  --live;
  return kOk;
}
CUresult cuEventRecord(void *event, void *stream) {
  BEGIN
  (void)event;
  (void)stream;
  return kOk;
}
CUresult cuStreamWaitEvent(void *stream, void *event, unsigned flags) {
  BEGIN
  (void)stream;
  (void)event;
  (void)flags;
  return kOk;
}

/* ---- Device ---- */

CUresult cuInit(unsigned flags) {
  BEGIN
  (void)flags;
  return kOk;
}
CUresult cuDriverGetVersion(int *version) {
  BEGIN
  *version = 12060;
  return kOk;
}
CUresult cuGetErrorString(int error, const char **text) {
  *text = error == kOutOfMemory ? "out of memory" : "a failure that the test arranged";
  return kOk;
}
CUresult cuDeviceGetCount(int *count) {
  BEGIN
  *count = devices;
  return kOk;
}
CUresult cuDeviceGet(int *device, int ordinal) {
  BEGIN
  *device = ordinal;
  return kOk;
}
CUresult cuDeviceGetName(char *name, int length, int device) {
  BEGIN
  (void)device;
  snprintf(name, (size_t)length, "Fake GPU");
  return kOk;
}
CUresult cuDeviceGetAttribute(int *value, int attribute, int device) {
  BEGIN
  (void)device;
  *value = attribute == 75 ? 8 : attribute == 76 ? 7 : 0;
  return kOk;
}
CUresult cuDevicePrimaryCtxRetain(void **context, int device) {
  BEGIN
  (void)device;
  static int primary;
  *context = &primary;
  return kOk;
}
CUresult cuCtxSetCurrent(void *context) {
  BEGIN
  (void)context;
  return kOk;
}
