#include "threading/physical_cores.h"

#include <sched.h>

#include <algorithm>
#include <fstream>
#include <set>
#include <string>
#include <thread>

namespace esr {
namespace {

// The hyper-threads of a processor's core, as the kernel writes them; the processor itself if
// unknown.
std::string core_of(int processor) {
  const std::string number = std::to_string(processor);
  std::ifstream file("/sys/devices/system/cpu/cpu" + number + "/topology/thread_siblings_list");
  std::string siblings;
  return std::getline(file, siblings) && !siblings.empty() ? siblings : number;
}

// False if the system does not say, as with more processors than the set can hold.
bool find_usable(cpu_set_t *usable) {
  CPU_ZERO(usable);
  return sched_getaffinity(0, sizeof(*usable), usable) == 0 && CPU_COUNT(usable) > 0;
}

int all_processors() { return std::max(1, static_cast<int>(std::thread::hardware_concurrency())); }

}  // namespace

int physical_cores() {
  cpu_set_t usable;
  if (!find_usable(&usable)) return all_processors();
  std::set<std::string> cores;
  for (int processor = 0; processor < CPU_SETSIZE; ++processor) {
    if (CPU_ISSET(processor, &usable)) cores.insert(core_of(processor));
  }
  return static_cast<int>(cores.size());
}

int usable_processors() {
  cpu_set_t usable;
  return find_usable(&usable) ? CPU_COUNT(&usable) : all_processors();
}

}  // namespace esr
