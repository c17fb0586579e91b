// What device tensorrt needs no TensorRT for: keys, the cache, precisions, samples.
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "backends/tensorrt/layer_precision.h"
#include "backends/tensorrt/machine.h"
#include "backends/tensorrt/plan_cache.h"
#include "backends/tensorrt/plan_key.h"
#include "backends/tensorrt/samples.h"
#include "check.h"
#include "random_picture.h"
#include "temporary_folder.h"

namespace {

using namespace esr;
using namespace esr::tensorrt;
namespace fs = std::filesystem;

bool has(const std::string &text, const char *part) { return text.find(part) != std::string::npos; }

DeviceFacts orin() {
  DeviceFacts facts{};
  std::strcpy(facts.gpu, "Orin");
  std::strcpy(facts.compute_capability, "8.7");
  std::strcpy(facts.cuda, "12.6");
  std::strcpy(facts.tensorrt, "10.3.0");
  return facts;
}

PlanKey key_of(const std::string &driver, const std::string &options = kDefaultOptions) {
  return {"{\"graph\":\"model.int8.onnx\"}", options, machine_text(orin(), driver)};
}

Data data_of(const std::string &text) { return {text.begin(), text.end()}; }

std::string text_of(const FoundPlan &found) {
  return found.plan ? std::string(found.plan->begin(), found.plan->end()) : "none";
}

// ---- Keys ----

TEST(release_of_the_driver_is_read_from_the_kernel_module) {
  const TemporaryFolder folder;
  folder.write("version",
               "NVRM version: NVIDIA UNIX x86_64 Kernel Module  560.35.03  Fri Aug 16\n"
               "GCC version:  gcc version 12.3.0\n");
  CHECK_EQ(driver_release(folder.path() + "/version"), std::string("560.35.03"));
  CHECK_EQ(driver_release(folder.path() + "/none"), std::string());
}

TEST(changes_of_the_machine_are_named) {
  DeviceFacts newer = orin();
  std::strcpy(newer.tensorrt, "10.7.0");
  CHECK_EQ(machine_changes(machine_text(newer, "2"), machine_text(orin(), "1")),
           std::string("TensorRT is 10.7.0, was 10.3.0, driver is 2, was 1"));
  CHECK_EQ(machine_changes(machine_text(orin(), "1"), machine_text(orin(), "1")), std::string());
}

TEST(version_compatible_plans_are_known_by_their_options) {
  CHECK(!is_version_compatible(kDefaultOptions));
  CHECK(is_version_compatible("{\"version_compatible\":true}"));
}

// ---- The cache ----

TEST(a_plan_comes_back) {
  const TemporaryFolder folder;
  const PlanCache cache(folder.path() + "/deep/plans");
  const PlanKey key = key_of("1");
  CHECK_EQ(text_of(cache.load(key)), std::string("none"));
  CHECK_EQ(cache.load(key).reason, std::string());
  cache.store(key, data_of("plan"));
  CHECK_EQ(text_of(cache.load(key)), std::string("plan"));
  CHECK(fs::exists(folder.path() + "/deep/plans/" + key.stem() + ".json"));
  int files = 0;
  for ([[maybe_unused]] const auto &file : fs::directory_iterator(folder.path() + "/deep/plans")) {
    ++files;
  }
  CHECK_EQ(files, 2);  // nothing half-written is left
}

TEST(a_damaged_plan_is_not_taken) {
  const TemporaryFolder folder;
  const PlanCache cache(folder.path());
  const PlanKey key = key_of("1");
  const auto reason = [&] { return cache.load(key).reason; };
  cache.store(key, data_of("plan"));
  folder.write(key.stem() + ".plan", "plam");
  CHECK(has(reason(), "the cached plan is damaged: "));
  CHECK(has(reason(), "does not have its digest"));
  folder.write(key.stem() + ".plan", "plan!");
  CHECK(has(reason(), "has 5 bytes, not 4"));
  folder.write(key.stem() + ".json", "{");
  CHECK(has(reason(), ".json: not valid JSON"));
  fs::remove(folder.path() + "/" + key.stem() + ".json");
  CHECK(has(reason(), "No such file"));
  const PlanKey other = key_of("2");
  cache.store(other, data_of("plan"));
  fs::copy_file(folder.path() + "/" + other.stem() + ".plan",
                folder.path() + "/" + key.stem() + ".plan", fs::copy_options::overwrite_existing);
  fs::copy_file(folder.path() + "/" + other.stem() + ".json",
                folder.path() + "/" + key.stem() + ".json");
  CHECK(has(reason(), "is named after another plan"));
}

TEST(a_plan_of_another_machine_is_named_as_stale) {
  const TemporaryFolder folder;
  const PlanCache cache(folder.path());
  cache.store(key_of("1"), data_of("plan"));
  const FoundPlan found = cache.load(key_of("2"));
  CHECK(!found.plan);
  CHECK_EQ(found.reason, std::string("the cached plan is of another machine: driver is 2, was 1"));
}

TEST(the_youngest_intact_plan_is_found_whatever_its_options) {
  const TemporaryFolder folder;
  const PlanCache cache(folder.path());
  const PlanKey old = key_of("1");
  const PlanKey young = key_of("1", "{\"level\":5}");
  CHECK(!cache.newest_options(old.request, old.machine));
  cache.store(old, data_of("old"));
  cache.store(young, data_of("young"));
  fs::last_write_time(folder.path() + "/" + old.stem() + ".plan",
                      fs::file_time_type::clock::now() - std::chrono::hours(1));
  CHECK_EQ(cache.newest_options(old.request, old.machine).value_or(""), young.options);
  folder.write(young.stem() + ".plan", "damaged");
  CHECK_EQ(cache.newest_options(old.request, old.machine).value_or(""), old.options);
}

TEST(one_builds_while_the_others_wait) {
  const TemporaryFolder folder;
  const std::string path = PlanCache(folder.path()).lock_path(key_of("1"));
  const auto is_free = [&] {
    const int file = open(path.c_str(), O_RDONLY);
    const bool is_ours = flock(file, LOCK_EX | LOCK_NB) == 0;
    close(file);
    return is_ours;
  };
  {
    const PlanLock lock(path);
    CHECK(!is_free());
  }
  CHECK(is_free());
}

TEST(measured_tactics_belong_to_a_machine) {
  const TemporaryFolder folder;
  const PlanCache cache(folder.path());
  CHECK(cache.timing_cache("{}").empty());
  cache.store_timing_cache("{}", data_of("tactics"));
  CHECK(cache.timing_cache("{}") == data_of("tactics"));
  CHECK(cache.timing_cache("{\"gpu\":1}").empty());
}

TEST(a_folder_that_cannot_be_written_is_an_io_error) {
  const PlanCache cache("/dev/null/plans");
  CHECK_ERROR(cache.store(key_of("1"), {}), "cannot make /dev/null/plans");
  CHECK_ERROR(cache.lock_path(key_of("1")), "cannot make /dev/null/plans");
  CHECK(!cache.load(key_of("1")).plan);
}

// ---- Precisions ----

std::vector<LayerPrecision> layers() {
  return {{"conv", "int8", ""}, {"conv_2", "fp16", ""}, {"tail/conv", "fp32", ""}};
}

TEST(precision_is_that_of_the_weights_or_else_of_the_input) {
  std::vector<LayerPrecision> found = layers();
  check_precisions(
      {R"({"Name": "conv + relu", "LayerType": "CaskConvolution", "Weights": {"Type": "Int8"}})",
       R"({"Name": "conv_2", "Inputs": [{"Format/Datatype": "Channel major FP16 format"}]})",
       R"({"Name": "x", "Metadata": "[ONNX Layer: tail/conv]", "Weights": {"Type": "Float"}})"},
      &found);
  for (const LayerPrecision &layer : found) CHECK_EQ(layer.runs, layer.asked);
}

TEST(copies_and_regions_of_several_do_not_tell) {
  std::vector<LayerPrecision> found = layers();
  check_precisions(
      {R"({"Name": "conv copy", "LayerType": "Reformat", "Weights": {"Type": "Half"}})",
       "{\"Name\": \"conv\x1f"
       "conv_2\", \"Weights\": {\"Type\": \"Float\"}}",
       "\"a name alone\""},
      &found);
  for (const LayerPrecision &layer : found) CHECK_EQ(layer.runs, std::string());
}

TEST(another_precision_than_asked_fails) {
  std::vector<LayerPrecision> found = layers();
  const std::string half = R"({"Name": "conv", "Weights": {"Type": "Half"}})";
  CHECK_ERROR(check_precisions({half}, &found),
              "the engine is not what the graph says: conv runs in fp16, not int8");
  CHECK_ERROR(check_precisions({"{"}, &found), "report cannot be read: not valid JSON");
}

// ---- Samples ----

TEST(deep_samples_become_grey_levels_and_come_back) {
  ThreadPool pool(2);
  const int depth = 10;
  Picture<std::uint16_t> lr(70, 45, SampleType::kUint16, depth);
  for (std::size_t i = 0; i < lr.samples.size(); ++i) {
    lr.samples[i] = static_cast<std::uint16_t>(i * 7 % 1024);
  }
  std::vector<float> graph(lr.samples.size());
  to_graph(lr.view(), graph.data(), pool);
  CHECK_EQ(graph[3], 21.0F / 4.0F);
  Picture<std::uint16_t> back(70, 45, SampleType::kUint16, depth);
  from_graph(graph.data(), back.plane(), pool);
  CHECK(back.samples == lr.samples);
}

TEST(deep_samples_are_rounded_half_to_even_and_clamped) {
  ThreadPool pool(1);
  const std::vector<float> graph = {0.125F, 0.375F, 0.625F, -3.0F, 300.0F, 255.75F};
  Picture<std::uint16_t> sr(6, 1, SampleType::kUint16, 10);
  from_graph(graph.data(), sr.plane(), pool);
  CHECK(sr.samples == (std::vector<std::uint16_t>{0, 2, 2, 0, 1023, 1023}));
}

TEST(rows_may_lie_anywhere_and_floats_are_kept) {
  ThreadPool pool(1);
  float plane[3][5] = {{1, 2, -7.5F, 0, 0}, {3, 4, 900.25F, 0, 0}, {5, 6, 7, 0, 0}};
  const auto *bottom = reinterpret_cast<const std::uint8_t *>(plane[2]);
  float graph[9] = {};
  const auto stride = static_cast<std::ptrdiff_t>(sizeof(plane[0]));
  to_graph({bottom, 3, 3, -stride, SampleType::kFloat32, 8}, graph, pool);
  CHECK(graph[0] == 5 && graph[5] == 900.25F && graph[8] == -7.5F);
  float back[3][5] = {};
  from_graph(graph,
             {reinterpret_cast<std::uint8_t *>(back[2]), 3, 3, -stride, SampleType::kFloat32, 8},
             pool);
  CHECK(std::memcmp(back, plane, sizeof(plane)) == 0);
}

}  // namespace

CHECK_MAIN()
