// Compiler hints for the kernel bodies.
#pragma once

#define ESR_INLINE __attribute__((always_inline)) inline
#define ESR_PRAGMA(text) _Pragma(#text)
#if defined(__clang__)
#define ESR_UNROLL(count) ESR_PRAGMA(unroll)
#else
#define ESR_UNROLL(count) ESR_PRAGMA(GCC unroll count)
#endif
