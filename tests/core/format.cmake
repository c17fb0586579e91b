# Tests of the parsers: base/, bundle/ and the native file.
esr_add_test(json_test)
esr_add_test(safetensors_test)
esr_add_test(sha256_test)
esr_add_test(manifest_test)
esr_add_test(bundle_test)
esr_add_test(network_file_test)

# The fuzz targets over their corpora.
set(fuzz_folder ${CMAKE_CURRENT_SOURCE_DIR}/../../runtime/core/fuzz)
set(corpus_folder ${CMAKE_CURRENT_SOURCE_DIR}/../corpus)
function(esr_add_replay target corpus)
  add_executable(replay_${target} ${fuzz_folder}/fuzz_${target}.cc ${fuzz_folder}/replay_main.cc)
  target_link_libraries(replay_${target} PRIVATE edge_sr_objects)
  target_compile_options(replay_${target} PRIVATE
    -Wall -Wextra -Wpedantic $<$<BOOL:${EDGE_SR_WERROR}>:-Werror>)
  add_test(NAME replay_${target} COMMAND replay_${target} ${corpus_folder}/${corpus})
endfunction()
esr_add_replay(json json)
esr_add_replay(safetensors safetensors)
esr_add_replay(manifest manifest)
esr_add_replay(network_file network_file)
esr_add_replay(engine network_file)
esr_add_replay(frame frame)
