// Device tensorrt through the C API: the plugin beside this program, over a stand-in of TensorRT
// that runs the CPU engine, so that results are those of the CPU.
#include <edge_sr/edge_sr.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "check.h"
#include "opened_upscaler.h"
#include "temporary_folder.h"

namespace {

namespace fs = std::filesystem;

constexpr int kWidth = 37;
constexpr int kHeight = 22;

// A setting of the stand-in, or where the cache is, for the length of a test.
class Setting {
 public:
  Setting(const char *name, const std::string &value) : name_(name) {
    setenv(name, value.c_str(), 1);
  }
  ~Setting() { unsetenv(name_); }
  Setting(const Setting &) = delete;
  Setting &operator=(const Setting &) = delete;

 private:
  const char *name_;
};

// An empty cache of its own for a test.
struct Cache {
  TemporaryFolder folder;
  Setting place{"XDG_CACHE_HOME", folder.path()};

  std::vector<fs::path> plans() const {
    std::vector<fs::path> found;
    for (const auto &file : fs::directory_iterator(folder.path() + "/edge-sr/plans")) {
      if (file.path().extension() == ".plan") found.push_back(file.path());
    }
    return found;
  }
};

struct Result {
  esr_status status;
  std::vector<std::uint8_t> samples;
};

Result upscale(const Upscaler &upscaler, int width = kWidth, int height = kHeight) {
  const std::vector<std::uint8_t> in = samples(static_cast<std::size_t>(width * height));
  std::vector<std::uint8_t> out(in.size() * 4, 7);
  const esr_plane lr = plane_of(in.data(), width, height);
  const esr_plane sr = plane_of(out.data(), 2 * width, 2 * height);
  const esr_status status = esr_upscale_plane(upscaler.get(), &lr, &sr);
  return {status, out};
}

std::vector<std::uint8_t> upscaled(const Upscaler &upscaler, int width = kWidth,
                                   int height = kHeight) {
  const Result result = upscale(upscaler, width, height);
  CHECK_EQ(result.status, ESR_OK);
  return result.samples;
}

// ---- Frames ----

TEST(info_tells_device_and_precision) {
  const Cache cache;
  for (const auto &asked :
       {std::pair{static_cast<const char *>(nullptr), "int8"}, {"fp16", "fp16"}}) {
    const Upscaler upscaler("tensorrt", asked.first);
    esr_info info;
    esr_info_init(&info);
    CHECK_EQ(esr_upscaler_get_info(upscaler.get(), &info), ESR_OK);
    CHECK_EQ(std::string(info.device), std::string("tensorrt"));
    CHECK_EQ(std::string(info.isa), std::string("sm_87"));
    CHECK_EQ(std::string(info.precision), std::string(asked.second));
    CHECK_EQ(std::string(info.model), std::string("fsrcnn_residual"));
    CHECK_EQ(info.scale, 2);
    CHECK_EQ(info.receptive_field_radius, 8);
  }
}

TEST(planes_of_changing_size_are_those_of_the_engine) {
  const Cache cache;
  for (const char *precision : {"fp32", "int8"}) {
    const Upscaler tensorrt("tensorrt:0", precision);
    const Upscaler cpu("cpu", precision);
    for (const auto &size : {std::pair{kWidth, kHeight}, {9, 30}, {kWidth, kHeight}}) {
      CHECK(upscaled(tensorrt, size.first, size.second) == upscaled(cpu, size.first, size.second));
    }
  }
}

// The bottom row first, with room between rows, which stays as it is.
template <class Sample>
void check_deep(esr_sample_type type, int bit_depth) {
  constexpr int kPitch = 2 * kWidth + 3;
  const Upscaler tensorrt("tensorrt", "int8");
  const Upscaler cpu("cpu", "int8");
  std::vector<Sample> in(kWidth * kHeight);
  for (std::size_t i = 0; i < in.size(); ++i) in[i] = static_cast<Sample>(i * 7 % 1021);
  std::vector<Sample> out[2];
  for (int i = 0; i < 2; ++i) {
    out[i].assign(2 * kHeight * kPitch, Sample{7});
    esr_plane lr = plane_of(in.data() + (kHeight - 1) * kWidth, kWidth, kHeight);
    lr.stride_bytes = -static_cast<std::ptrdiff_t>(kWidth * sizeof(Sample));
    lr.sample_type = type;
    lr.bit_depth = bit_depth;
    esr_plane sr = lr;
    sr.data = out[i].data();
    sr.width *= 2;
    sr.height *= 2;
    sr.stride_bytes = kPitch * sizeof(Sample);
    CHECK_EQ(esr_upscale_plane(i == 0 ? tensorrt.get() : cpu.get(), &lr, &sr), ESR_OK);
  }
  CHECK(out[0] == out[1]);
}

TEST(deep_and_float_planes_take_the_float_graph) {
  const Cache cache;
  check_deep<std::uint16_t>(ESR_SAMPLE_UINT16, 10);
  check_deep<float>(ESR_SAMPLE_FLOAT32, 8);
}

TEST(frames_have_their_chroma) {
  const Cache cache;
  CHECK(upscaled_frame(Upscaler("tensorrt", "int8")) == upscaled_frame(Upscaler(nullptr, "int8")));
}

// TensorRT takes neither gaps between rows nor memory that is not aligned.
TEST(device_planes_may_lie_anywhere) {
  const Cache cache;
  const Upscaler tensorrt("tensorrt", nullptr);
  const std::vector<std::uint8_t> expected = upscaled(tensorrt);
  const std::vector<std::uint8_t> dense = samples(kWidth * kHeight);
  struct Place {
    int gap;
    int offset;
  };
  for (const Place &place : {Place{0, 0}, {5, 0}, {0, 1}}) {
    alignas(256) static std::uint8_t in_memory[2 * kWidth * kHeight];
    alignas(256) static std::uint8_t out_memory[8 * kWidth * kHeight];
    const int lr_pitch = kWidth + place.gap;
    const int sr_pitch = 2 * kWidth + place.gap;
    std::uint8_t *const in = in_memory + place.offset;
    std::uint8_t *const out = out_memory + place.offset;
    std::memset(out_memory, 7, sizeof(out_memory));
    for (int y = 0; y < kHeight; ++y) {
      std::memcpy(in + y * lr_pitch, dense.data() + y * kWidth, kWidth);
    }
    esr_plane lr = plane_of(in, kWidth, kHeight);
    esr_plane sr = plane_of(out, 2 * kWidth, 2 * kHeight);
    lr.stride_bytes = lr_pitch;
    sr.stride_bytes = sr_pitch;
    CHECK_EQ(esr_upscale_device_plane(tensorrt.get(), &lr, &sr, nullptr), ESR_OK);
    int wrong = 0;
    for (int y = 0; y < 2 * kHeight; ++y) {
      wrong += std::memcmp(out + y * sr_pitch, expected.data() + y * 2 * kWidth, 2 * kWidth) != 0;
    }
    CHECK_EQ(wrong, 0);
    CHECK(upscaled(tensorrt) == expected);  // the recorded frame is as it was
  }
}

TEST(device_planes_that_it_does_not_take_are_refused) {
  const Cache cache;
  const Upscaler tensorrt("tensorrt", nullptr);
  const std::vector<std::uint16_t> in(kWidth * kHeight);
  const std::vector<std::uint16_t> out(in.size() * 4);
  esr_plane lr = plane_of(in.data(), kWidth, kHeight);
  esr_plane sr = plane_of(out.data(), 2 * kWidth, 2 * kHeight);
  lr.data = static_cast<std::uint8_t *>(lr.data) + (kHeight - 1) * kWidth;
  lr.stride_bytes = -kWidth;
  CHECK_EQ(esr_upscale_device_plane(tensorrt.get(), &lr, &sr, nullptr), ESR_ERR_UNSUPPORTED);
  CHECK(has(esr_last_error(), "not from the bottom one"));
  lr = plane_of(in.data(), kWidth, kHeight);
  for (esr_plane *plane : {&lr, &sr}) {
    plane->sample_type = ESR_SAMPLE_UINT16;
    plane->bit_depth = 10;
    plane->stride_bytes *= 2;
  }
  CHECK_EQ(esr_upscale_device_plane(tensorrt.get(), &lr, &sr, nullptr), ESR_ERR_UNSUPPORTED);
  CHECK(has(esr_last_error(), "uint8 and float32 planes in GPU memory, not uint16"));
}

// ---- Plans ----

TEST(a_plan_is_built_once_for_a_machine) {
  const Cache cache;
  std::string log;
  const std::vector<std::uint8_t> first = upscaled(Upscaler("tensorrt", "int8", &log));
  CHECK(has(log, "info: TensorRT engine: int8 on sm_87, 2 threads\n"));
  CHECK(has(log, "warning: building a plan of model.int8.onnx for frames of 37x22, once for this"));
  CHECK(has(log, ": 1 convolutions, of which 0 do not tell their precision"));
  CHECK_EQ(cache.plans().size(), std::size_t{1});
  log.clear();
  CHECK(upscaled(Upscaler("tensorrt", "int8", &log)) == first);
  CHECK_EQ(log, std::string("info: TensorRT engine: int8 on sm_87, 2 threads\n"));
}

TEST(more_sizes_than_are_kept_open_take_turns) {
  const Cache cache;
  const Upscaler cpu("cpu", "int8");
  std::string log;
  const Upscaler tensorrt("tensorrt", "int8", &log);
  for (int turn = 0; turn < 2; ++turn) {
    for (int width = 20; width < 26; ++width) {
      CHECK(upscaled(tensorrt, width, 20) == upscaled(cpu, width, 20));
    }
    CHECK_EQ(has(log, "building"), turn == 0);
    log.clear();
  }
}

TEST(without_memory_the_frames_of_other_sizes_make_room) {
  const Cache cache;
  const Upscaler cpu("cpu", "int8");
  const Upscaler tensorrt("tensorrt", "int8");
  const Setting fails("FAKE_FAILS", "second context");
  for (const int width : {20, 21, 20}) {
    CHECK(upscaled(tensorrt, width, 20) == upscaled(cpu, width, 20));
  }
}

TEST(a_damaged_plan_is_built_again) {
  const Cache cache;
  const std::vector<std::uint8_t> first = upscaled(Upscaler("tensorrt", "int8"));
  fs::resize_file(cache.plans().at(0), 3);
  std::string log;
  CHECK(upscaled(Upscaler("tensorrt", "int8", &log)) == first);
  CHECK(has(log, "warning: building the plan again: the cached plan is damaged: "));
  CHECK(has(log, " has 3 bytes, not "));
}

TEST(a_plan_of_another_tensorrt_is_built_again) {
  const Cache cache;
  upscaled(Upscaler("tensorrt", "int8"));
  const Setting newer("FAKE_TENSORRT", "10.7.0");
  std::string log;
  upscaled(Upscaler("tensorrt", "int8", &log));
  CHECK(has(log, "the cached plan is of another machine: TensorRT is 10.7.0, was 10.3.0\n"));
  CHECK_EQ(cache.plans().size(), std::size_t{2});
}

// Intact, of this machine, and yet refused: the entry of one plan with the content of another.
TEST(a_plan_that_tensorrt_refuses_is_built_again) {
  const Cache cache;
  const std::vector<std::uint8_t> first = upscaled(Upscaler("tensorrt", "int8"));
  const fs::path plan = cache.plans().at(0);
  const std::string digest_of_x =
      "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881";
  const std::string name =
      "edge-sr/plans/" + fs::path(plan).replace_extension(".json").filename().string();
  std::string facts = cache.folder.read(name);
  facts.replace(facts.find("\"sha256\": \"", facts.find("machine")) + 11, 64, digest_of_x);
  facts.replace(facts.find("\"bytes\": ") + 9, 2, "1 ");
  cache.folder.write(name, facts);
  cache.folder.write("edge-sr/plans/" + plan.filename().string(), "x");
  std::string log;
  CHECK(upscaled(Upscaler("tensorrt", "int8", &log)) == first);
  CHECK(has(log,
            "warning: the cached plan does not load: TensorRT: it refused the plan: the plan "
            "is of another version\n"));
  log.clear();
  upscaled(Upscaler("tensorrt", "int8", &log));
  CHECK(!has(log, "warning"));
}

// A folder is in the place of the lock, which therefore cannot be opened.
TEST(a_plan_is_taken_without_a_lock) {
  const Cache cache;
  upscaled(Upscaler("tensorrt", "int8"));
  const fs::path lock = fs::path(cache.plans().at(0)).replace_extension(".lock");
  fs::remove(lock);
  fs::create_directory(lock);
  std::string log;
  upscaled(Upscaler("tensorrt", "int8", &log));
  CHECK(!has(log, "warning"));
}

TEST(a_cache_that_cannot_be_written_costs_a_line_not_the_plan) {
  const Setting nowhere("XDG_CACHE_HOME", "/dev/null");
  std::string log;
  upscaled(Upscaler("tensorrt", "int8", &log));
  CHECK(has(log, "warning: the plan is not kept: cannot make /dev/null/edge-sr/plans"));
  const Setting empty("XDG_CACHE_HOME", "");
  const Setting homeless("HOME", "");
  log.clear();
  upscaled(Upscaler("tensorrt", "int8", &log));
  CHECK(has(log, "warning: plans are not kept: neither XDG_CACHE_HOME nor HOME is set"));
}

// ---- Failures ----

std::string manifest_text() {
  std::ifstream file(std::string(ESR_READY_BUNDLE) + "/manifest.json");
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

Result failing(const char *step, std::string *log) {
  const Upscaler upscaler("tensorrt", "int8", log);
  const Setting fails("FAKE_FAILS", step);
  return upscale(upscaler);
}

TEST(what_tensorrt_says_of_a_failure_is_the_message) {
  const Cache cache;
  const std::vector<std::uint8_t> untouched(4 * kWidth * kHeight, 7);
  Result result = failing("build", nullptr);
  CHECK_EQ(result.status, ESR_ERR_BACKEND);
  CHECK_EQ(std::string(esr_last_error()),
           std::string("TensorRT: it built no engine: no tactic is left"));
  CHECK(result.samples == untouched);
  result = failing("context", nullptr);
  CHECK_EQ(result.status, ESR_ERR_OUT_OF_MEMORY);
  CHECK(has(esr_last_error(), "it made no execution context: it gives no reason"));
  result = failing("frame", nullptr);
  CHECK_EQ(result.status, ESR_ERR_BACKEND);
  CHECK(has(esr_last_error(), "it failed on a frame: it cannot run now"));
  CHECK(result.samples == untouched);
}

TEST(without_a_cuda_graph_it_says_so_and_runs) {
  const Cache cache;
  std::string log;
  const Result result = failing("record", &log);
  CHECK_EQ(result.status, ESR_OK);
  CHECK(has(log, "warning: no CUDA graph, frames are launched call by call: it failed on a frame"));
  CHECK(result.samples == upscaled(Upscaler("cpu", "int8")));
}

TEST(an_engine_of_another_precision_is_refused_and_not_kept) {
  const Cache cache;
  const Upscaler upscaler("tensorrt", "int8");
  {
    const Setting half("FAKE_RUNS", "Half");
    CHECK_EQ(upscale(upscaler).status, ESR_ERR_BACKEND);
    CHECK_EQ(std::string(esr_last_error()),
             std::string("the engine is not what the graph says: /first/Conv runs in fp16, not "
                         "int8"));
  }
  CHECK(cache.plans().empty());
  upscaled(upscaler);
}

TEST(a_damaged_graph_is_refused_and_a_native_model_not_needed) {
  const Cache cache;
  const TemporaryFolder bundle;
  const fs::path ready = ESR_READY_BUNDLE;
  fs::copy_file(ready / "manifest.json", bundle.path() + "/manifest.json");
  fs::copy_file(ready / "model.fp32.onnx", bundle.path() + "/model.fp32.onnx");
  bundle.write("model.int8.onnx", "damaged");
  const std::string path = bundle.path();
  upscaled(Upscaler("tensorrt", "fp32", nullptr, path.c_str()));
  CHECK_EQ(upscale(Upscaler("tensorrt", "int8", nullptr, path.c_str())).status,
           ESR_ERR_MODEL_FORMAT);
  CHECK(has(esr_last_error(), "model.int8.onnx has 7 bytes, the manifest says 24659"));
}

TEST(a_graph_that_the_bundle_does_not_list_is_named) {
  const Cache cache;
  const TemporaryFolder bundle;
  std::string text = manifest_text();
  text.replace(text.find("\"model.int8.onnx\""), 17, "\"other.int8.onnx\"");
  bundle.write("manifest.json", text);
  const std::string path = bundle.path();
  CHECK_EQ(upscale(Upscaler("tensorrt", "int8", nullptr, path.c_str())).status,
           ESR_ERR_MODEL_FORMAT);
  CHECK_EQ(std::string(esr_last_error()), std::string("the bundle lists no file model.int8.onnx"));
}

TEST(what_it_does_not_run_is_refused) {
  const Cache cache;
  CHECK(has(refusal("tensorrt", "bf16", ESR_ERR_UNSUPPORTED), "gets no bf16 graph"));
  CHECK(has(refusal("tensorrt", "int4", ESR_ERR_INVALID_ARGUMENT), "precision int4 is not"));
  CHECK(has(refusal("tensorrt:1", nullptr, ESR_ERR_UNSUPPORTED),
            "device tensorrt is not offered: invalid device ordinal"));
  CHECK(has(refusal("tensorrt:x", nullptr, ESR_ERR_INVALID_ARGUMENT), "device tensorrt:x is not"));
  CHECK(has(refusal("tensorrt", nullptr, ESR_ERR_IO, "/none.esr"), "/none.esr does not exist"));
  const TemporaryFolder bundle;
  std::string text = manifest_text();
  text.replace(text.find("\"fp16\",\n"), 7, "");
  text.replace(text.find("\"channels\": \"y\""), 15, "\"channels\": \"rgb\"");
  bundle.write("manifest.json", text);
  const std::string path = bundle.path();
  CHECK(has(refusal("tensorrt", "fp16", ESR_ERR_INVALID_ARGUMENT, path.c_str()),
            "the bundle holds no fp16; build it with --precision fp16"));
  CHECK(has(refusal("tensorrt", "int8", ESR_ERR_UNSUPPORTED, path.c_str()),
            "the bundle upscales rgb pictures"));
  const esr_options options = options_of("tensorrt", nullptr, nullptr);
  esr_upscaler *upscaler = nullptr;
  CHECK_EQ(esr_upscaler_open_buffer("abc", 3, &options, &upscaler), ESR_ERR_UNSUPPORTED);
  CHECK(has(esr_last_error(), "runs the graphs of a bundle, which a model.native does not hold"));
}

}  // namespace

CHECK_MAIN()
