# `make run` and `make test` do all the set-up on a fresh Debian machine with Python 3.11.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
FLOW ?= flows/intersection.yaml

# What `make check` tests: everything that starts no server and reads no video.
QUICK := tests/cases tests/contract tests/load tests/nodes tests/nodejs tests/traffic tests/test_layers.py tests/test_release.py

.PHONY: run check test lint bench install test-tools generate upgrade licences release clean

run: install
	$(BIN)/flowrt run $(FLOW)

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml requirements/run.txt tools/system-packages
	sh tools/system-packages run
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements/run.txt
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	touch $@

test-tools: $(VENV)/.tested

$(VENV)/.tested: $(VENV)/.installed requirements/test.txt tests/nodejs/package.json
	sh tools/system-packages test
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements/test.txt
	cd tests/nodejs && npm install --no-audit --no-fund --silent
	touch $@

lint: test-tools
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --platform win32 --cache-dir .mypy_cache/win32
	$(BIN)/mypy --platform darwin --cache-dir .mypy_cache/darwin

# Under a minute, while you edit: `make test` has the rest.
check: test-tools
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q -n 2 -m "not slow" $(QUICK)

test: test-tools lint
	$(BIN)/python -m pytest $(PYTEST_ARGS)

bench: test-tools
	$(BIN)/python -m benchmarks

# Files that are generated and committed; tests tell when they are stale.
generate: test-tools
	$(BIN)/flowrt contract docs -o docs
	$(BIN)/flowrt contract asyncapi -o schemas/asyncapi.yaml
	$(BIN)/flowrt contract acl -o docker/mosquitto/acl
	$(BIN)/flowrt schema -o schemas/flow.schema.json
	$(BIN)/flowrt dashboards build
	$(BIN)/python -m tools.manual
	$(BIN)/python -m tools.scenes

# The newest versions that pyproject.toml allows, pinned with their hashes; keep them when the tests pass.
upgrade: $(VENV)/.tools
	sh tools/lock $(VENV)/.tools/bin/uv --upgrade
	$(MAKE) test

licences: test-tools
	$(BIN)/python -m tools.licences

# The sdist and the wheel in dist/, checked, and tried in an empty environment.
release: $(VENV)/.tools
	$(VENV)/.tools/bin/python -m tools.release

$(VENV)/.tools: $(VENV)/.installed
	$(PYTHON) -m venv $@
	$@/bin/python -m pip install --quiet build check-wheel-contents cyclonedx-bom twine uv

clean:
	rm -rf $(VENV) build dist out .flowrt
