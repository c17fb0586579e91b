// One pool, one primitive: run a body for every task, the caller taking part.
#pragma once

#include <cstdint>
#include <memory>
#include <type_traits>

namespace esr {

class ThreadPool {
 public:
  // `num_threads` workers including the caller of run(), at least 1; throws Error(kBackend) if the
  // system gives no more threads.
  explicit ThreadPool(int num_threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool &) = delete;
  ThreadPool &operator=(const ThreadPool &) = delete;

  int num_threads() const noexcept;

  // Calls body(context, task, worker) once for each task in 0..count-1, worker in
  // 0..num_threads-1, never two tasks of one worker at a time. Returns when all have ended. The
  // first exception is rethrown here after the others stopped. No nesting, one caller at a time.
  // Allocates nothing.
  using Body = void (*)(void *context, std::int32_t task, std::int32_t worker);
  void run(std::int32_t count, Body body, void *context);

  // The same for a callable: parallel_for(count, [&](std::int32_t task, std::int32_t worker) {}).
  template <class Callable>
  void parallel_for(std::int32_t count, Callable &&callable) {
    run(
        count,
        [](void *context, std::int32_t task, std::int32_t worker) {
          (*static_cast<std::remove_reference_t<Callable> *>(context))(task, worker);
        },
        &callable);
  }

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace esr
