# Tests of the CUDA engine. Its kernels run on a CPU: in one test as they are, in the other as a
# plugin, which lies where the library looks for one.
if(EDGE_SR_SANITIZE MATCHES thread)
  return()  # its threads are fibers of one thread, which that sanitizer takes for a fault
endif()
set(emulation cuda_emulation/emulation.cc cuda_emulation/emulated_frame.cc)

esr_add_test(cuda_plan_test)
esr_add_test(cuda_kernel_test ${emulation})
target_compile_definitions(cuda_kernel_test PRIVATE
  ESR_BUNDLES="${CMAKE_CURRENT_SOURCE_DIR}/../../runtime/bundles")

add_library(emulated_plugin MODULE cuda_emulation/emulated_plugin.cc ${emulation})
target_link_libraries(emulated_plugin PRIVATE edge_sr_objects)
target_include_directories(emulated_plugin PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
target_compile_options(emulated_plugin PRIVATE
  -Wall -Wextra -Wpedantic $<$<BOOL:${EDGE_SR_WERROR}>:-Werror>)
set_target_properties(emulated_plugin PROPERTIES
  PREFIX lib OUTPUT_NAME edge_sr_cuda SUFFIX .so CXX_VISIBILITY_PRESET hidden
  LIBRARY_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR})

esr_add_test(cuda_engine_test)
target_compile_definitions(cuda_engine_test PRIVATE ESR_READY_BUNDLE="${ready_bundle}")
add_dependencies(cuda_engine_test emulated_plugin)
