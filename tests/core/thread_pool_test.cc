#include "threading/thread_pool.h"

#include <atomic>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "check.h"

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
    pool.parallel_for(64, [&](std::int32_t task, std::int32_t) {
      ++values[static_cast<std::size_t>(task)];
    });
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

}  // namespace

CHECK_MAIN()
