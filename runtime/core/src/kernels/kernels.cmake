# Sources of the hot loops: what every CPU runs, then one line per ISA with its flags.
target_sources(edge_sr_objects PRIVATE
  src/kernels/families.cc
  src/kernels/fp32/fp32_scalar.cc
  src/kernels/int8/int8_scalar.cc)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  set(avx512_flags -mavx2 -mfma -mavx512f -mavx512bw -mavx512vl -mavx512dq)
  esr_add_isa_source(AVX2
    SOURCES src/kernels/fp32/fp32_avx2.cc src/kernels/int8/int8_avx2.cc
    FLAGS -mavx2 -mfma)
  esr_add_isa_source(AVXVNNI
    SOURCES src/kernels/int8/int8_avxvnni.cc
    FLAGS -mavx2 -mfma -mavxvnni)
  esr_add_isa_source(AVX512
    SOURCES src/kernels/fp32/fp32_avx512.cc
    FLAGS ${avx512_flags})
  esr_add_isa_source(AVX512VNNI
    SOURCES src/kernels/int8/int8_avx512vnni.cc
    FLAGS ${avx512_flags} -mavx512vnni)
  esr_add_isa_source(AVX512BF16
    SOURCES src/kernels/bf16/bf16_avx512bf16.cc
    FLAGS ${avx512_flags} -mavx512bf16)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64")
  esr_add_isa_source(NEON
    SOURCES src/kernels/fp32/fp32_neon.cc src/kernels/int8/int8_neon.cc
    FLAGS "")
  esr_add_isa_source(NEONDOT
    SOURCES src/kernels/int8/int8_neondot.cc
    FLAGS -march=armv8.2-a+dotprod)
endif()
