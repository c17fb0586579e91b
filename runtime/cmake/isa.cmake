# esr_add_isa_source(AVX2 SOURCES a.cc b.cc FLAGS -mavx2 -mfma)
#
# Adds files of one instruction set with flags of their own, and defines ESR_ENABLE_AVX2 for all.
function(esr_add_isa_source isa)
  cmake_parse_arguments(arg "" "" "SOURCES;FLAGS" ${ARGN})
  target_sources(edge_sr_objects PRIVATE ${arg_SOURCES})
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # GCC's own intrinsics trip this warning.
    list(APPEND arg_FLAGS -Wno-maybe-uninitialized)
  endif()
  set_source_files_properties(${arg_SOURCES} PROPERTIES COMPILE_OPTIONS "${arg_FLAGS}")
  target_compile_definitions(edge_sr_objects PUBLIC ESR_ENABLE_${isa})
endfunction()
