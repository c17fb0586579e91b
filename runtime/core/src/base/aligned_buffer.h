// Memory on cache-line borders that is allocated once and never grows.
#pragma once

#include <cstddef>
#include <cstring>
#include <memory>
#include <new>
#include <type_traits>

namespace esr {

constexpr std::size_t kCacheLine = 64;

// `count` zeroed elements of a trivial type; throws std::bad_alloc.
template <class T>
class AlignedBuffer {
  static_assert(std::is_trivial<T>::value, "elements are raw memory");

 public:
  AlignedBuffer() = default;
  explicit AlignedBuffer(std::size_t count)
      : data_(static_cast<T *>(::operator new (count * sizeof(T), std::align_val_t{kCacheLine}))),
        count_(count) {
    std::memset(data_.get(), 0, count * sizeof(T));
  }

  T *data() noexcept { return data_.get(); }
  const T *data() const noexcept { return data_.get(); }
  std::size_t size() const noexcept { return count_; }
  T &operator[](std::size_t index) noexcept { return data_.get()[index]; }
  const T &operator[](std::size_t index) const noexcept { return data_.get()[index]; }

 private:
  struct Free {
    void operator()(T *memory) const noexcept {
      ::operator delete (memory, std::align_val_t{kCacheLine});
    }
  };
  std::unique_ptr<T, Free> data_;
  std::size_t count_ = 0;
};

}  // namespace esr
