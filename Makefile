# Two commands are all it takes, on a bare machine with Python 3.11: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
TESTS_READY := $(VENV)/.tests-ready
# pip compiles all, one file after another. Here all cores do it, and of what is large and hardly imported nothing is compiled before it is.
# Packages ship files that do not compile: pip lets them pass, too.
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check --no-compile
LATER := /(tests|transformers|moto|pandas|pip|sagemaker|sagemaker_core)/
COMPILE := $(BIN)/python -m compileall -q -j 0 -x '$(LATER)' $(VENV)/lib >/dev/null 2>&1 || true

.PHONY: setup demo test lint bench bench-policy clean

$(READY): pyproject.toml requirements.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(INSTALL) -r requirements.txt
	$(INSTALL) --no-deps --no-build-isolation --editable .
	$(COMPILE)
	touch $(READY)

# The tests talk to an AWS of this machine, and train with real frameworks: what nobody needs for the demo.
$(TESTS_READY): $(READY) requirements-aws.txt requirements-frameworks.txt
	$(INSTALL) -r requirements.txt -r requirements-aws.txt -r requirements-frameworks.txt
	$(COMPILE)
	touch $(TESTS_READY)

setup: $(TESTS_READY)

demo: $(READY)
	$(BIN)/python examples/recommender/demo.py $(DEMO)

lint: $(TESTS_READY)
	$(BIN)/ruff check --no-cache .
	$(BIN)/ruff format --no-cache --check .
	$(BIN)/mypy

test: lint
	$(BIN)/pytest -n 3 --dist worksteal

# What checkpoints cost, beside what others' cost: some minutes, and some gigabytes of disk for a while. BENCH="--size 2 --rounds 7"
bench: $(TESTS_READY)
	$(BIN)/python benchmarks/saves.py $(BENCH)
	$(BIN)/python benchmarks/restores.py $(BENCH)
	$(BIN)/python benchmarks/overhead.py $(BENCH)
	$(BIN)/python benchmarks/uploads.py

# How good the policies are, on recorded capacity: make bench-policy TRACES=folder BENCH="--every 3". Without TRACES, on pools that are made up.
bench-policy: $(READY)
	$(BIN)/python benchmarks/policy.py $(TRACES) $(BENCH)

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
