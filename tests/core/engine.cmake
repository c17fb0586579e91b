# Tests of the kernels and of the engine over them, the engine once for every cap of the ISA.
esr_add_test(kernel_test)
esr_add_test(tile_plan_test)
esr_add_test(engine_test)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64")
  set(caps scalar neon)
else()
  set(caps scalar avx2 avxvnni avx512 avx512vnni)
endif()
foreach(cap ${caps})
  add_test(NAME engine_test_${cap} COMMAND engine_test)
  set_tests_properties(engine_test_${cap} PROPERTIES ENVIRONMENT EDGE_SR_ISA=${cap})
endforeach()

# The CUDA kernels on a CPU.
esr_add_test(cuda_kernel_test cuda_emulation/emulation.cc cuda_emulation/emulated_frame.cc)
target_compile_definitions(cuda_kernel_test PRIVATE
  ESR_BUNDLES="${CMAKE_CURRENT_SOURCE_DIR}/../../runtime/bundles")
