// Writes safetensors files for tests, well formed or broken on purpose.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

using Bytes = std::vector<std::uint8_t>;

// 8-byte length, header and data, with no check at all.
inline Bytes file_of(const std::string &header, const Bytes &data) {
  Bytes file;
  for (int shift = 0; shift < 64; shift += 8) {
    file.push_back(static_cast<std::uint8_t>(std::uint64_t{header.size()} >> shift));
  }
  file.insert(file.end(), header.begin(), header.end());
  file.insert(file.end(), data.begin(), data.end());
  return file;
}

inline std::string quoted(const std::string &text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    result += c;
  }
  return result + '"';
}

// Tensors one after the other, in the order of the calls.
class SafeTensorsWriter {
 public:
  void add_metadata(const std::string &name, const std::string &value) {
    metadata_ += (metadata_.empty() ? "" : ",") + quoted(name) + ":" + quoted(value);
  }

  void add(const std::string &name, const std::string &shape, const std::vector<float> &values) {
    Bytes bytes(values.size() * sizeof(float));
    if (!values.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
    add_bytes(name, "F32", shape, bytes);
  }

  void add(const std::string &name, const std::string &shape,
           const std::vector<std::int8_t> &values) {
    Bytes bytes;
    for (const std::int8_t value : values) bytes.push_back(static_cast<std::uint8_t>(value));
    add_bytes(name, "I8", shape, bytes);
  }

  Bytes file() const {
    return file_of("{\"__metadata__\":{" + metadata_ + "}" + entries_ + "}", data_);
  }

 private:
  void add_bytes(const std::string &name, const char *type, const std::string &shape,
                 const Bytes &bytes) {
    const std::size_t begin = data_.size();
    data_.insert(data_.end(), bytes.begin(), bytes.end());
    entries_ += "," + quoted(name) + ":{\"dtype\":\"" + type + "\",\"shape\":" + shape +
                ",\"data_offsets\":[" + std::to_string(begin) + "," + std::to_string(data_.size()) +
                "]}";
  }

  std::string metadata_;
  std::string entries_;
  Bytes data_;
};
