// The smallest test harness that names what failed, where, and with which values.
//
//     TEST(sum_of_two_numbers) { CHECK_EQ(1 + 1, 2); }
//     CHECK_MAIN()
//
// A failed check is printed and counted, then the test goes on. An argument of the executable runs
// only the tests whose name contains it.
#pragma once

#include <cstdio>
#include <cstring>
#include <exception>
#include <sstream>
#include <string>
#include <type_traits>
#include <vector>

#include "base/error.h"

namespace check {

struct Test {
  const char *name;
  void (*body)();
};

inline std::vector<Test> &tests() {
  static std::vector<Test> all;
  return all;
}

inline int &failures() {
  static int count = 0;
  return count;
}

inline bool add(const char *name, void (*body)()) {
  tests().push_back({name, body});
  return true;
}

inline void fail(const char *file, int line, const std::string &text) {
  ++failures();
  std::fprintf(stderr, "%s:%d: %s\n", file, line, text.c_str());
}

template <class T>
std::string shown(const T &value) {
  std::ostringstream text;
  if constexpr (std::is_enum_v<T>) {
    text << static_cast<long long>(value);
  } else if constexpr (std::is_same_v<T, bool>) {
    text << (value ? "true" : "false");
  } else if constexpr (std::is_integral_v<T>) {
    text << +value;  // bytes as numbers
  } else {
    text.precision(9);
    text << value;
  }
  return text.str();
}

template <class A, class B>
void equal(const A &found, const B &expected, const char *what, const char *file, int line) {
  if (found == expected) return;
  fail(file, line, std::string(what) + " is " + shown(found) + ", expected " + shown(expected));
}

// `body` must throw esr::Error with `part` in its message.
template <class F>
void error(const F &body, const std::string &part, const char *what, const char *file, int line) {
  try {
    body();
  } catch (const esr::Error &found) {
    const std::string message = found.what();
    if (message.find(part) != std::string::npos) return;
    return fail(file, line, std::string(what) + " says \"" + message + "\", not \"" + part + "\"");
  }
  fail(file, line, std::string(what) + " did not fail with \"" + part + "\"");
}

inline int run(int argc, char **argv) {
  int count = 0;
  for (const Test &test : tests()) {
    if (argc > 1 && std::strstr(test.name, argv[1]) == nullptr) continue;
    ++count;
    const int before = failures();
    try {
      test.body();
    } catch (const std::exception &found) {
      fail(test.name, 0, std::string("ended by ") + found.what());
    }
    std::printf("%s %s\n", failures() == before ? "ok  " : "FAIL", test.name);
  }
  std::printf("%d tests, %d failed checks\n", count, failures());
  return count == 0 || failures() > 0 ? 1 : 0;
}

}  // namespace check

#define TEST(name)                                                                       \
  static void test_##name();                                                             \
  [[maybe_unused]] static const bool is_added_##name = ::check::add(#name, test_##name); \
  static void test_##name()

#define CHECK(condition)                                                          \
  do {                                                                            \
    if (!(condition)) ::check::fail(__FILE__, __LINE__, "not true: " #condition); \
  } while (false)

#define CHECK_EQ(found, expected) ::check::equal((found), (expected), #found, __FILE__, __LINE__)

#define CHECK_ERROR(expression, part) \
  ::check::error([&] { static_cast<void>(expression); }, (part), #expression, __FILE__, __LINE__)

#define CHECK_MAIN() \
  int main(int argc, char **argv) { return ::check::run(argc, argv); }
