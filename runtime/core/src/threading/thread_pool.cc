#include "threading/thread_pool.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <exception>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "base/error.h"
#include "threading/physical_cores.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace esr {
namespace {

// A frame comes every few milliseconds: a worker that has just finished looks out for the next
// call for a moment before it sleeps, which saves a wake-up of some 50 us per frame.
constexpr std::chrono::microseconds kLookout{50};

void pause_briefly() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

template <class Condition>
bool look_out(Condition &&is_met) {
  const auto until = std::chrono::steady_clock::now() + kLookout;
  do {
    for (int i = 0; i < 64; ++i) {
      if (is_met()) return true;
      pause_briefly();
    }
  } while (std::chrono::steady_clock::now() < until);
  return is_met();
}

}  // namespace

class ThreadPool::Impl {
 public:
  // A thread that looks out takes a processor from one that works where there are too few.
  explicit Impl(int num_threads) : looks_out_(num_threads <= usable_processors()) {
    try {
      threads_.reserve(static_cast<std::size_t>(num_threads - 1));
      for (int worker = 1; worker < num_threads; ++worker) {
        threads_.emplace_back([this, worker] { serve(worker); });
      }
    } catch (const std::system_error &error) {
      const std::size_t given = threads_.size() + 1;
      stop();
      throw Error(Status::kBackend, "the system gives " + std::to_string(given) + " of " +
                                        std::to_string(num_threads) + " threads: " + error.what() +
                                        "; ask for fewer");
    } catch (...) {
      stop();
      throw;
    }
  }

  ~Impl() { stop(); }

  int num_threads() const noexcept { return static_cast<int>(threads_.size()) + 1; }

  void run(std::int32_t count, Body body, void *context) {
    if (threads_.empty() || count <= 1) {
      for (std::int32_t task = 0; task < count; ++task) body(context, task, 0);
      return;
    }
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      job_ = {count, body, context};
      next_task_.store(0, std::memory_order_relaxed);
      busy_.store(static_cast<int>(threads_.size()), std::memory_order_relaxed);
      generation_.fetch_add(1, std::memory_order_release);
    }
    wake_.notify_all();
    work(0);
    wait_for_workers();
    if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
  }

 private:
  struct Job {
    std::int32_t count = 0;
    Body body = nullptr;
    void *context = nullptr;
  };

  void serve(int worker) {
    std::uint64_t seen = 0;
    while (wait_for_job(&seen)) {
      work(worker);
      if (busy_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
        const std::lock_guard<std::mutex> lock(mutex_);
        done_.notify_one();
      }
    }
  }

  // False when the pool closes.
  bool wait_for_job(std::uint64_t *seen) {
    const auto has_news = [&] { return generation_.load(std::memory_order_acquire) != *seen; };
    if (!looks_out_ || !look_out(has_news)) {
      std::unique_lock<std::mutex> lock(mutex_);
      wake_.wait(lock, has_news);
    }
    *seen = generation_.load(std::memory_order_acquire);
    return !is_closing_.load(std::memory_order_acquire);
  }

  void wait_for_workers() {
    const auto all_done = [&] { return busy_.load(std::memory_order_acquire) == 0; };
    if (looks_out_ && look_out(all_done)) return;
    std::unique_lock<std::mutex> lock(mutex_);
    done_.wait(lock, all_done);
  }

  void work(int worker) {
    for (;;) {
      const std::int32_t task = next_task_.fetch_add(1, std::memory_order_relaxed);
      if (task >= job_.count) return;
      try {
        job_.body(job_.context, task, worker);
      } catch (...) {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (!failure_) failure_ = std::current_exception();
        next_task_.store(job_.count, std::memory_order_relaxed);
      }
    }
  }

  void stop() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      is_closing_.store(true, std::memory_order_release);
      generation_.fetch_add(1, std::memory_order_release);
    }
    wake_.notify_all();
    for (std::thread &thread : threads_) thread.join();
    threads_.clear();
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable done_;
  std::atomic<std::uint64_t> generation_{0};
  std::atomic<std::int32_t> next_task_{0};
  std::atomic<int> busy_{0};
  std::atomic<bool> is_closing_{false};
  const bool looks_out_;
  Job job_;
  std::exception_ptr failure_;
  std::vector<std::thread> threads_;
};

ThreadPool::ThreadPool(int num_threads) : impl_(std::make_unique<Impl>(num_threads)) {}
ThreadPool::~ThreadPool() = default;
int ThreadPool::num_threads() const noexcept { return impl_->num_threads(); }
void ThreadPool::run(std::int32_t count, Body body, void *context) {
  impl_->run(count, body, context);
}

}  // namespace esr
