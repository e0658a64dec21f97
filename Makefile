# Everything a developer or a curious visitor does, one word each. Needs Python 3.9 or later, and make.

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
CONSTRAINTS := requirements/constraints.txt
# A process for each CPU; a file's tests stay together, for what they share.
PYTEST := $(BIN)/python -m pytest --numprocesses logical --maxprocesses 8 --dist loadfile
WHEEL := build/wheel
ON_WHEEL = bin/python -m coverage run --rcfile $(CURDIR)/pyproject.toml \
	-m pytest -c $(CURDIR)/pyproject.toml --rootdir $(CURDIR)

.DEFAULT_GOAL := help
.PHONY: help install demo bench test test-all lint format types docs check build test-wheel constraints clean

help: ## Say what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(INSTALLED) ## Put the package, its tests' tools and the linters into .venv

demo: $(INSTALLED) ## Simulate traffic, train, score attacks, draw the scores
	$(BIN)/python scripts/demo.py

bench: $(INSTALLED) ## Measure speed beside peers and how cost grows, into bench/ (about an hour on an idle machine)
	$(BIN)/python scripts/benchmark.py $(ARGS)

test: $(INSTALLED) ## Run the tests that take seconds
	$(PYTEST) -m "not slow" $(ARGS)

test-all: $(INSTALLED) ## Run all tests: also the slow ones, and the wheel on every Python found
	$(PYTEST) $(ARGS)

lint: $(INSTALLED) ## Look for mistakes, missing docstrings and imports that point upward
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/interrogate --quiet ipinsights scripts tests docs
	$(BIN)/lint-imports

types: $(INSTALLED) ## Check the types
	$(BIN)/mypy

format: $(INSTALLED) ## Lay the code out and mend what can be mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(INSTALLED) ## Build the documentation into docs/_build/html; every warning is an error
	rm -rf docs/reference/python
	$(BIN)/sphinx-build -n -W --keep-going -q -d docs/_build/doctrees docs docs/_build/html

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

constraints: $(INSTALLED) ## Move every dependency to its newest version that fits each Python
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile setup.py --all-extras --universal --python-version 3.9 --no-annotate --upgrade -o $(CONSTRAINTS)

clean: ## Remove what was made
	rm -rf .venv bench build dist demo docs/_build docs/reference/python *.egg-info .coverage .hypothesis .*_cache

$(INSTALLED): setup.py $(CONSTRAINTS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 9) and "make: ipinsights needs Python 3.9 or later, and this is %s. Try: make PYTHON=python3.11" % sys.version.split()[0])'
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "make: $(PYTHON) cannot make virtual environments. On Debian: apt install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint $(CONSTRAINTS) --editable '.[report,tune,docs,test,dev]'
	@touch $@
