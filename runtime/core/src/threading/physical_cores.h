// How many threads do useful arithmetic.
#pragma once

namespace esr {

// Cores that this process may use, hyper-threads counted once; at least 1.
int physical_cores();

// Processors that this process may use, every hyper-thread one; at least 1.
int usable_processors();

}  // namespace esr
