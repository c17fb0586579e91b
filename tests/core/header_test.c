/* The header alone, as strict C99. */
#include <edge_sr/edge_sr.h>

int esr_header_compiles_as_c(void) { return ESR_API_VERSION; }
