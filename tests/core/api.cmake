# Tests of the C API, of its threads and of what leaves the library.
set(ready_bundle ${CMAKE_CURRENT_SOURCE_DIR}/../../runtime/bundles/fsrcnn-x2.esr)

esr_add_test(thread_pool_test)
esr_add_test(chroma_test)
esr_add_test(geometry_test)
esr_add_test(frame_test)

# Once as the CPU is, once without AVX512_BF16.
esr_add_test(upscaler_test)
target_compile_definitions(upscaler_test PRIVATE ESR_READY_BUNDLE="${ready_bundle}")
add_test(NAME upscaler_test_scalar COMMAND upscaler_test)
set_tests_properties(upscaler_test_scalar PROPERTIES ENVIRONMENT EDGE_SR_ISA=scalar)

add_executable(c_api_test c_api_test.c header_test.c header_test.cc)
target_link_libraries(c_api_test PRIVATE edge_sr)
set_target_properties(c_api_test PROPERTIES C_STANDARD 99 C_EXTENSIONS OFF)
target_compile_options(c_api_test PRIVATE -Wall -Wextra -Wpedantic $<$<BOOL:${EDGE_SR_WERROR}>:-Werror>)
add_test(NAME c_api_test COMMAND c_api_test ${ready_bundle})

# A sanitizer brings its own allocator.
if(NOT EDGE_SR_SANITIZE)
  add_executable(allocation_test allocation_test.cc)
  target_link_libraries(allocation_test PRIVATE edge_sr_objects)
  add_test(NAME allocation_test COMMAND allocation_test ${ready_bundle})

  find_program(PYTHON3 python3)
  if(BUILD_SHARED_LIBS AND PYTHON3 AND NOT CMAKE_CROSSCOMPILING)
    add_test(NAME check_objects COMMAND ${PYTHON3} ${CMAKE_CURRENT_SOURCE_DIR}/check_objects.py
      --nm ${CMAKE_NM} --library $<TARGET_FILE:edge_sr> --objects $<TARGET_OBJECTS:edge_sr_objects> COMMAND_EXPAND_LISTS)
  endif()
endif()
