.PHONY: install lint test bundle docker constraints

install:  ## everything for development, in the active virtual environment
	pip install -c constraints.txt -e ".[export,train,dev]"

lint:
	ruff format --check .
	ruff check .
	mypy
	lint-imports

test:
	pytest

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
