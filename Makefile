.PHONY: install lint test tensorrt-bindings bundle docker docker-jetson docker-gpu constraints core cuda-bench core-test core-sanitize core-aarch64 core-fuzz

install:  ## everything for development, in the active virtual environment
	pip install -c constraints.txt -e ".[export,train,dev]"

lint:
	ruff format --check .
	ruff check .
	mypy
	lint-imports
	mdformat --check *.md docs

test:  ## a process for each core
	pytest -n auto

BINDINGS = build/tensorrt-bindings
BINDINGS_WHEELS = tensorrt-cu12-bindings==10.3.0 tensorrt-cu13-bindings==10.13.3.9.post1 \
	tensorrt-cu13-bindings==11.4.0.106

tensorrt-bindings:  ## TensorRT's own Python bindings, for the contract tests; proprietary
	mkdir -p $(BINDINGS)/wheels
	set -e; for wheel in $(BINDINGS_WHEELS); do \
		version=$${wheel##*==}; folder=$(BINDINGS)/$$version; \
		if [ -d $$folder ]; then continue; fi; \
		pip download --quiet --no-deps --only-binary :all: --dest $(BINDINGS)/wheels $$wheel \
			|| { echo "no wheel of $$wheel for this Python; its tests skip"; continue; }; \
		rm -rf $$folder.partial; \
		python -m zipfile -e $(BINDINGS)/wheels/*$$version*.whl $$folder.partial; \
		mv $$folder.partial $$folder; \
	done

bundle:  ## the shipped student as an INT8 bundle
	python -m export.build --precision int8 --overwrite

constraints:  ## tested versions for every Python; GPU libraries stay open, torch is pinned by hand
	echo "torch==2.13.0" > torch.pin
	uv pip compile --quiet --universal --python-version 3.10 --all-extras --no-annotate --no-header \
		-c torch.pin setup.cfg \
		| grep -vE '^(nvidia-|cuda-|tensorrt|triton)' > constraints.part
	{ echo "# Versions this release was tested with; made by: make constraints"; cat constraints.part; } \
		> constraints.txt
	rm -f torch.pin constraints.part

docker:
	docker build --target runtime -t edge-sr:runtime .
	docker build --target export -t edge-sr:export .

docker-jetson:  ## on a Jetson
	docker build --target jetson -t edge-sr:jetson .

docker-gpu:
	docker build --target gpu -t edge-sr:gpu .

JOBS = $(shell nproc)
CORE = cmake -S runtime
BUILD = cmake --build
CTEST = ctest --output-on-failure --test-dir

core:  ## the C library, into build/core/core
	$(CORE) -B build/core
	$(BUILD) build/core -j $(JOBS)

BUNDLE = runtime/bundles/fsrcnn-x2.esr

cuda-bench:  ## the CUDA plugin and its benchmark on BUNDLE, on the GPU of this machine
	$(CORE) -B build/core-cuda -DEDGE_SR_CUDA=ON -DEDGE_SR_BENCH=ON
	$(BUILD) build/core-cuda -j $(JOBS)
	build/core-cuda/cuda/bench_cuda $(BUNDLE)

core-test:  ## its tests, on every ISA that this CPU has
	$(CORE) -B build/core-test -DEDGE_SR_TESTS=ON -DEDGE_SR_WERROR=ON
	$(BUILD) build/core-test -j $(JOBS)
	$(CTEST) build/core-test

core-sanitize:  ## its tests under the address, undefined-behaviour and thread sanitizers
	$(CORE) -B build/core-address -DEDGE_SR_TESTS=ON -DEDGE_SR_SANITIZE=address,undefined
	$(BUILD) build/core-address -j $(JOBS)
	$(CTEST) build/core-address
	$(CORE) -B build/core-thread -DEDGE_SR_TESTS=ON -DEDGE_SR_SANITIZE=thread
	$(BUILD) build/core-thread -j $(JOBS)
	$(CTEST) build/core-thread

core-aarch64:  ## its tests on 64-bit ARM; needs g++-aarch64-linux-gnu and qemu-user
	$(CORE) -B build/core-aarch64 -DEDGE_SR_TESTS=ON \
		-DCMAKE_TOOLCHAIN_FILE=$(CURDIR)/runtime/cmake/aarch64-linux-gnu.cmake
	$(BUILD) build/core-aarch64 -j $(JOBS)
	$(CTEST) build/core-aarch64 -j 4

FUZZ_SECONDS = 600
FUZZ_TARGETS = json safetensors manifest network_file engine frame
FUZZ = build/core-fuzz/core/fuzz

core-fuzz:  ## its libFuzzer targets one after the other, FUZZ_SECONDS each; needs clang
	$(CORE) -B build/core-fuzz -DEDGE_SR_FUZZ=ON \
		-DCMAKE_C_COMPILER=clang -DCMAKE_CXX_COMPILER=clang++
	$(BUILD) build/core-fuzz -j $(JOBS) --target fuzz
	set -e; for target in $(FUZZ_TARGETS); do \
		corpus=tests/corpus/$$target; [ $$target = engine ] && corpus=tests/corpus/network_file; \
		mkdir -p $(FUZZ)/$$target; \
		$(FUZZ)/fuzz_$$target -dict=runtime/core/fuzz/native.dict -max_total_time=$(FUZZ_SECONDS) \
			-artifact_prefix=$$corpus/ $(FUZZ)/$$target $$corpus; \
	done
