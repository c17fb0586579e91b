# Tests of the CUDA engine, whose kernels run on a CPU: by themselves, and in the plugin over a
# stand-in of CUDA's runtime library. The plugin lies where the library looks for it.
if(EDGE_SR_SANITIZE MATCHES thread)
  return()  # its threads are fibers of one thread, which that sanitizer takes for a fault
endif()

esr_add_test(cuda_plan_test)
esr_add_test(cuda_kernel_test cuda_emulation/emulation.cc cuda_emulation/emulated_frame.cc)
target_compile_definitions(cuda_kernel_test PRIVATE
  ESR_BUNDLES="${CMAKE_CURRENT_SOURCE_DIR}/../../runtime/bundles")

set(plugin_source ${CMAKE_CURRENT_SOURCE_DIR}/../../runtime/core/src/backends/cuda/plugin.cu)
set_source_files_properties(${plugin_source} PROPERTIES LANGUAGE CXX)
add_library(emulated_plugin MODULE
  ${plugin_source} cuda_emulation/emulation.cc cuda_emulation/runtime/cuda_runtime.cc)
target_include_directories(emulated_plugin PRIVATE
  ${CMAKE_CURRENT_SOURCE_DIR}/cuda_emulation/runtime ${CMAKE_CURRENT_SOURCE_DIR})
target_link_libraries(emulated_plugin PRIVATE edge_sr_objects)
target_compile_options(emulated_plugin PRIVATE
  -Wall -Wextra -Wpedantic $<$<BOOL:${EDGE_SR_WERROR}>:-Werror>)
set_target_properties(emulated_plugin PROPERTIES
  PREFIX lib OUTPUT_NAME edge_sr_cuda SUFFIX .so CXX_VISIBILITY_PRESET hidden
  LIBRARY_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR})

esr_add_test(cuda_engine_test)
target_compile_definitions(cuda_engine_test PRIVATE ESR_READY_BUNDLE="${ready_bundle}")
add_dependencies(cuda_engine_test emulated_plugin)
