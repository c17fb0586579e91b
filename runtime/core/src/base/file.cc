#include "base/file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "base/error.h"

namespace esr {
namespace {

[[noreturn]] void fail(const std::string &what, const std::string &path) {
  throw Error(Status::kIo, what + path + ": " + std::strerror(errno));
}

// A name of its own in the same folder, of no suffix that anyone looks for.
std::string partial_name(const std::string &path) {
  const std::size_t name = path.rfind('/') + 1;
  return path.substr(0, name) + "." + path.substr(name) + ".XXXXXX";
}

bool write_all(int file, std::string_view content) {
  while (!content.empty()) {
    const ssize_t written = write(file, content.data(), content.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    content.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

}  // namespace

bool exists(const std::string &path) {
  struct stat facts {};
  return stat(path.c_str(), &facts) == 0 || errno != ENOENT;
}

std::size_t size_of(const std::string &path) {
  struct stat facts {};
  if (stat(path.c_str(), &facts) != 0) fail("cannot read ", path);
  if (!S_ISREG(facts.st_mode)) throw Error(Status::kIo, path + " is not a file");
  return static_cast<std::size_t>(facts.st_size);
}

std::vector<std::uint8_t> read_file(const std::string &path, std::size_t bytes) {
  std::vector<std::uint8_t> data(bytes);
  std::ifstream file(path, std::ios::binary);
  if (bytes > 0)
    file.read(reinterpret_cast<char *>(data.data()), static_cast<std::streamsize>(bytes));
  if (!file) throw Error(Status::kIo, "cannot read " + path);
  return data;
}

void write_file(const std::string &path, std::string_view content) {
  std::string partial = partial_name(path);
  const int file = mkstemp(partial.data());
  if (file < 0) fail("cannot write ", path);
  // mkstemp lets the owner alone read it.
  bool is_written = fchmod(file, 0644) == 0 && write_all(file, content);
  is_written = close(file) == 0 && is_written;
  if (is_written && std::rename(partial.c_str(), path.c_str()) == 0) return;
  const int reason = errno;
  unlink(partial.c_str());
  errno = reason;
  fail("cannot write ", path);
}

}  // namespace esr
