.PHONY: install lint test bundle docker

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

docker:
	docker build --target runtime -t edge-sr:runtime .
	docker build --target export -t edge-sr:export .
