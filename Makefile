# `make run` and `make test` do all the set-up on a fresh Debian machine with Python 3.11.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
FLOW ?= flows/intersection.yaml

.PHONY: run test lint bench install test-tools generate clean

run: install
	$(BIN)/flowrt run $(FLOW)

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml tools/system-packages
	sh tools/system-packages run
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

test-tools: $(VENV)/.tested

$(VENV)/.tested: $(VENV)/.installed tests/node/package.json
	sh tools/system-packages test
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	cd tests/node && npm install --no-audit --no-fund --silent
	touch $@

lint: test-tools
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: test-tools lint
	$(BIN)/python -m pytest $(PYTEST_ARGS)

bench: test-tools
	$(BIN)/python -m benchmarks

# Files that are generated and committed; tests tell when they are stale.
generate: install
	$(BIN)/flowrt contract docs -o docs
	$(BIN)/flowrt contract asyncapi -o schemas/asyncapi.yaml
	$(BIN)/flowrt contract acl -o docker/mosquitto/acl
	$(BIN)/flowrt schema -o schemas/flow.schema.json
	$(BIN)/flowrt dashboards build
	$(BIN)/python -m tools.scenes

clean:
	rm -rf $(VENV) build dist out .flowrt
