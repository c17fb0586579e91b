# Tests of the parts of device tensorrt that need no TensorRT.
esr_add_test(tensorrt_plan_test)

add_executable(tensorrt_cache_files tensorrt_cache_files.cc)
target_link_libraries(tensorrt_cache_files PRIVATE edge_sr_objects)
