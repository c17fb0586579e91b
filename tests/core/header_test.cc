// The header alone, as strict C++17.
#include <edge_sr/edge_sr.h>

extern "C" int esr_header_compiles_as_cpp() { return ESR_API_VERSION; }
