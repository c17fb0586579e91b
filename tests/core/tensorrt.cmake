# Tests of device tensorrt: the parts that need no TensorRT, and all of it through the plugin's own
# source over stand-ins of TensorRT and of CUDA's runtime library. The plugin lies where the library
# looks for it.
set(plugin_folder ${CMAKE_CURRENT_SOURCE_DIR}/../../runtime/core/src/backends/tensorrt)

esr_add_test(tensorrt_plan_test)

add_executable(tensorrt_cache_files tensorrt_cache_files.cc)
target_link_libraries(tensorrt_cache_files PRIVATE edge_sr_objects)

if(EDGE_SR_SANITIZE MATCHES thread)
  return()  # the emulated GPU runs threads as fibers, which that sanitizer takes for a fault
endif()

add_library(emulated_tensorrt MODULE
  ${plugin_folder}/builder.cc ${plugin_folder}/lane.cc ${plugin_folder}/plugin.cc
  tensorrt_emulation/tensorrt.cc cuda_emulation/emulation.cc cuda_emulation/runtime/cuda_runtime.cc)
target_include_directories(emulated_tensorrt PRIVATE
  tensorrt_emulation/include cuda_emulation/runtime ${CMAKE_CURRENT_SOURCE_DIR})
target_compile_definitions(emulated_tensorrt PRIVATE ESR_READY_BUNDLE="${ready_bundle}")
target_link_libraries(emulated_tensorrt PRIVATE edge_sr_objects)
target_compile_options(emulated_tensorrt PRIVATE
  -Wall -Wextra -Wpedantic $<$<BOOL:${EDGE_SR_WERROR}>:-Werror>)
set_target_properties(emulated_tensorrt PROPERTIES
  PREFIX lib OUTPUT_NAME edge_sr_tensorrt SUFFIX .so CXX_VISIBILITY_PRESET hidden
  LIBRARY_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR})

esr_add_test(tensorrt_engine_test)
target_compile_definitions(tensorrt_engine_test PRIVATE ESR_READY_BUNDLE="${ready_bundle}")
add_dependencies(tensorrt_engine_test emulated_tensorrt)
