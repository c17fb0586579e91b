#include "threading/thread_pool.h"

#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/error.h"
#include "check.h"
#include "sanitizers.h"
#include "threading/physical_cores.h"

namespace {

using esr::ThreadPool;

TEST(every_task_runs_once_by_a_worker_of_its_own) {
  for (const int threads : {1, 2, 7}) {
    ThreadPool pool(threads);
    CHECK_EQ(pool.num_threads(), threads);
    for (const int count : {0, 1, 2, 100}) {
      std::vector<std::atomic<int>> runs(100);
      std::vector<std::atomic<int>> busy(7);
      std::atomic<int> clashes{0};
      pool.parallel_for(count, [&](std::int32_t task, std::int32_t worker) {
        const auto w = static_cast<std::size_t>(worker);
        if (busy[w].fetch_add(1) != 0) ++clashes;
        ++runs[static_cast<std::size_t>(task)];
        busy[w].fetch_sub(1);
      });
      for (int task = 0; task < 100; ++task) {
        CHECK_EQ(runs[static_cast<std::size_t>(task)].load(), task < count ? 1 : 0);
      }
      CHECK_EQ(clashes.load(), 0);
    }
  }
}

TEST(results_are_visible_after_each_of_many_calls) {
  ThreadPool pool(4);
  std::vector<int> values(64, 0);
  for (int round = 1; round <= 2000; ++round) {
    pool.parallel_for(
        64, [&](std::int32_t task, std::int32_t) { ++values[static_cast<std::size_t>(task)]; });
    if (values[0] != round || values[63] != round) {
      CHECK_EQ(values[63], round);
      break;
    }
  }
}

TEST(first_exception_reaches_the_caller_and_the_pool_lives_on) {
  ThreadPool pool(3);
  for (int round = 0; round < 50; ++round) {
    bool was_thrown = false;
    try {
      pool.parallel_for(20, [](std::int32_t task, std::int32_t) {
        if (task == 7) throw std::runtime_error("task 7");
      });
    } catch (const std::runtime_error &error) {
      was_thrown = std::string(error.what()) == "task 7";
    }
    CHECK(was_thrown);
  }
  std::atomic<int> done{0};
  pool.parallel_for(5, [&](std::int32_t, std::int32_t) { ++done; });
  CHECK_EQ(done.load(), 5);
}

TEST(pools_end_right_after_they_began) {
  for (int i = 0; i < 50; ++i) ThreadPool(5);
}

TEST(a_failure_ends_the_run_early) {
  ThreadPool pool(2);
  std::atomic<int> runs{0};
  CHECK_ERROR(pool.parallel_for(1 << 30,
                                [&](std::int32_t, std::int32_t) {
                                  if (++runs == 5) throw esr::Error(esr::Status::kIo, "enough");
                                }),
              "enough");
  CHECK(runs.load() < (1 << 30));
}

TEST(more_threads_than_processors_still_finish) {
  ThreadPool pool(4 * esr::usable_processors() + 1);
  std::atomic<int> runs{0};
  for (int run = 0; run < 100; ++run) {
    pool.parallel_for(64, [&](std::int32_t, std::int32_t) { ++runs; });
  }
  CHECK_EQ(runs.load(), 6400);
}

// Emulators give memory beyond the limit.
bool can_map(std::size_t bytes) {
  void *memory = mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return false;
  munmap(memory, bytes);
  return true;
}

TEST(threads_that_the_system_refuses_are_an_error_with_the_numbers) {
  if (HAS_SANITIZER) return std::puts("skip threads_that_the_system_refuses: sanitizer"), void();
  rlimit before{};
  getrlimit(RLIMIT_AS, &before);
  // Room for some stacks, not for a thousand.
  rlimit tight = before;
  tight.rlim_cur = rlim_t{1} << 30;
  setrlimit(RLIMIT_AS, &tight);
  if (can_map(std::size_t{2} << 30)) {
    return std::puts("skip threads_that_the_system_refuses: RLIMIT_AS is ignored here"), void();
  }
  CHECK_ERROR(ThreadPool(1000), "of 1000 threads");
  setrlimit(RLIMIT_AS, &before);
  ThreadPool pool(4);
  CHECK_EQ(pool.num_threads(), 4);
}

TEST(cores_are_those_that_this_process_may_use) {
  const int cores = esr::physical_cores();
  CHECK(cores >= 1);
  CHECK(cores <= esr::usable_processors());

  cpu_set_t before;
  sched_getaffinity(0, sizeof(before), &before);
  int first = 0;
  while (!CPU_ISSET(first, &before)) ++first;
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(first, &one);
  sched_setaffinity(0, sizeof(one), &one);
  CHECK_EQ(esr::physical_cores(), 1);
  CHECK_EQ(esr::usable_processors(), 1);
  sched_setaffinity(0, sizeof(before), &before);
}

}  // namespace

CHECK_MAIN()
