# Everything a developer or a curious visitor does, one word each. Needs Python 3.10 or later, and make.
#
#   make PYTHON=python3.13 test    with another Python than python3
#   make VENV=build/other test     in another environment than .venv

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Two stamps: what the demo needs is installed, and everything is installed.
DEMO := $(VENV)/.demo
INSTALLED := $(VENV)/.installed
CONSTRAINTS := requirements/constraints.txt
# Nothing is compiled: a package without a wheel for this Python and machine is an error.
PIP_INSTALL = $(BIN)/python -m pip install --only-binary :all: --no-warn-conflicts --constraint $(CONSTRAINTS)

# A PYTHON of another version on the command line replaces the environment.
ifeq ($(origin PYTHON),command line)
  version_of = $(shell $(1) -c 'import sys; print(sys.version)' 2>/dev/null)
  ifneq ($(call version_of,$(PYTHON)),$(call version_of,$(BIN)/python))
    REPLACED := --clear $(shell rm -f $(DEMO) $(INSTALLED))
  endif
endif
# A process for each CPU; a file's tests stay together, for what they share, and files begin in the order of conftest.py.
PYTEST := $(BIN)/python -m pytest --numprocesses logical --maxprocesses 8 --dist loadfile --no-loadscope-reorder
WHEEL := build/wheel
ON_WHEEL = bin/python -m coverage run --rcfile $(CURDIR)/pyproject.toml \
	-m pytest -c $(CURDIR)/pyproject.toml --rootdir $(CURDIR)

.DEFAULT_GOAL := help
.PHONY: help install demo bench test test-all lint format types docs check build test-wheel release constraints clean

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(INSTALLED) ## Put the package, its tests' tools and the linters into .venv

demo: $(DEMO) ## Simulate traffic, train, score attacks, draw the scores
	$(BIN)/python scripts/demo.py

bench: $(INSTALLED) ## Measure speed beside peers and how cost grows, into bench/ (about an hour on an idle machine)
	$(BIN)/python benchmarks/benchmark.py $(ARGS)

test: $(INSTALLED) ## Run the tests that take seconds
	$(PYTEST) -m "not slow" $(ARGS)

test-all: $(INSTALLED) ## Run all tests: also the slow ones, and the wheel on every Python found
	$(PYTEST) $(ARGS)

lint: $(INSTALLED) ## Look for mistakes, missing docstrings and imports that point upward
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/interrogate --quiet ipinsights benchmarks scripts tests docs
	$(BIN)/lint-imports
	$(BIN)/codespell ipinsights tests docs scripts benchmarks *.md

types: $(INSTALLED) ## Check the types
	$(BIN)/mypy
	@# the tests need Linux
	$(BIN)/mypy --platform darwin --cache-dir .mypy_cache/darwin ipinsights scripts benchmarks

format: $(INSTALLED) ## Format and fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(INSTALLED) ## Build the documentation into docs/_build/html; every warning is an error
	rm -rf docs/reference/python
	@# -E: a saved environment does not know that a help text or a docstring has changed
	$(BIN)/sphinx-build -E -n -W --keep-going -q -d docs/_build/doctrees docs docs/_build/html

check: lint types docs test-wheel ## All that a change must pass

build: $(INSTALLED) ## Build wheel and source distribution into dist/, and check what they say and hold
	rm -rf build/lib build/bdist* dist
	$(BIN)/python -m build --outdir dist . > /dev/null
	$(BIN)/twine check --strict dist/*
	$(BIN)/check-wheel-contents dist/*.whl

test-wheel: build ## Run the quick tests on the built wheel, train on two hosts, and measure what of it they reach
	rm -rf $(WHEEL)
	$(BIN)/python -m venv $(WHEEL)
	$(WHEEL)/bin/python -m pip install --quiet --no-deps dist/*.whl
	@# the tools and dependencies of .venv, without the package that is installed there; coverage in every process
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"), "import coverage; coverage.process_startup()", sep="\n")' > $$(echo $(WHEEL)/lib/python*/site-packages)/0-dependencies.pth
	cd $(WHEEL) && $(ON_WHEEL) -m "not slow" $(ARGS) $(CURDIR)/tests
	cd $(WHEEL) && $(ON_WHEEL) $(CURDIR)/tests/system/test_loopback.py -k "not GoingOn"
	cd $(CURDIR) && $(BIN)/coverage combine --quiet $(WHEEL) && $(BIN)/coverage report

release: $(INSTALLED) ## Check everything, date the changelog, tag the version, and build it into dist/
	$(BIN)/python scripts/release.py --check
	$(MAKE) check
	$(BIN)/python scripts/release.py
	$(MAKE) build

constraints: $(INSTALLED) ## Move every dependency to its newest version that fits each Python
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.10 --no-annotate --upgrade -o $(CONSTRAINTS)

clean: ## Remove what was made
	rm -rf $(VENV) bench build dist demo docs/_build docs/reference/python *.egg-info .coverage .hypothesis .*_cache

$(DEMO): pyproject.toml setup.py $(CONSTRAINTS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "make: ipinsights supports Python 3.10 to 3.14, and $(PYTHON) is %s. Try: make PYTHON=python3.12" % sys.version.split()[0])'
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "make: $(PYTHON) cannot make virtual environments. On Debian: apt install python3-venv" >&2; exit 1; }
	@echo "Installing ipinsights and what it needs into $(VENV): about 300 MB to download."
	$(PYTHON) -m venv $(REPLACED) $(VENV)
	$(PIP_INSTALL) --editable '.[mxnet,report]'
	@# where the extra leaves MXNet out, as an error message would have it installed
	PIP_CONSTRAINT=$(CONSTRAINTS) $(BIN)/python scripts/install_mxnet.py
	@touch $@

$(INSTALLED): $(DEMO)
	@echo "Installing the tools of the tests, the documentation and the linters into $(VENV)."
	$(PIP_INSTALL) --quiet --editable '.[mxnet,report,tune,docs,test,dev]'
	@# in a clone, the hook that checks the subject of a commit
	@if test -e .git; then git config core.hooksPath .githooks; fi
	@touch $@
