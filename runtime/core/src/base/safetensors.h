// A view of a safetensors file in memory; every offset and shape is checked before it is used.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/json.h"

namespace esr {

class SafeTensors {
 public:
  // Reads `data`, which must outlive this view. Tensors are F32 or I8, at most 4 dimensions, lie
  // one after the other and fill the file to its end. Throws Error(kModelFormat).
  SafeTensors(const std::uint8_t *data, std::size_t size);

  const std::map<std::string, std::string> &metadata() const noexcept { return metadata_; }
  std::size_t count() const noexcept { return tensors_.size(); }
  bool contains(const std::string &name) const { return tensors_.count(name) != 0; }

  // Copies of the values. The shape must be exactly `shape`, floats must be finite; throws
  // Error(kModelFormat) otherwise, or if there is no such tensor.
  std::vector<float> floats(const std::string &name, const std::vector<std::int64_t> &shape) const;
  std::vector<std::int8_t> bytes(const std::string &name,
                                 const std::vector<std::int64_t> &shape) const;

 private:
  struct Tensor {
    bool is_float = false;
    std::vector<std::int64_t> shape;
    std::size_t begin = 0;
    std::size_t end = 0;
  };

  const Tensor &find(const std::string &name, const std::vector<std::int64_t> &shape,
                     bool is_float) const;
  void read_metadata(const Json &values);
  void read_tensor(const std::string &name, const Json &entry);
  void check_layout(std::size_t size) const;

  const std::uint8_t *values_ = nullptr;  // first byte behind the header
  std::map<std::string, std::string> metadata_;
  std::map<std::string, Tensor> tensors_;
};

}  // namespace esr
