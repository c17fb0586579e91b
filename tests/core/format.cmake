# Tests of the parsers: base/, bundle/ and the native file.
esr_add_test(json_test)
esr_add_test(safetensors_test)
esr_add_test(sha256_test)
esr_add_test(manifest_test)
esr_add_test(bundle_test)
esr_add_test(network_file_test)
