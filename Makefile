# Two commands for a fresh machine: `make demo` and `make test`.
# TORCH_INDEX=<url>  where pip finds torch, e.g. the CPU-only wheel index named in the README.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
TORCH_INDEX ?=
TORCH := torch>=2.6,<2.14
PIP := $(BIN)/python -m pip --disable-pip-version-check

MINUTES ?= 30

.PHONY: demo test test-long check smoke soak bench clean help

help:
	@echo "make demo    install into $(VENV), run the default study, print where the report is"
	@echo "make test    install with the dev extra, run lint, types, import rules, the smoke study and the tests"
	@echo "make test-long  the tests that take long or need other environments; says what it skips and why"
	@echo "make smoke   run the smoke study only"
	@echo "make soak    every test with nothing sampled, then kill small studies again and again for MINUTES=$(MINUTES)"
	@echo "make bench   install the peers and measure against them; one table, about ten minutes"
	@echo "make clean   remove the environment and caches; runs/ is kept"

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python >= 3.11 is needed; name one with: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	$(if $(TORCH_INDEX),$(PIP) install --quiet --index-url $(TORCH_INDEX) '$(TORCH)')
	$(PIP) install --quiet --editable .
	touch $@

$(VENV)/.installed-dev: pyproject.toml | $(BIN)/python
	$(if $(TORCH_INDEX),$(PIP) install --quiet --index-url $(TORCH_INDEX) '$(TORCH)')
	$(PIP) install --quiet --editable '.[dev]'
	touch $@ $(VENV)/.installed

demo: $(VENV)/.installed
	$(BIN)/echochamber run studies/demo.yaml

smoke: $(VENV)/.installed
	$(BIN)/echochamber run studies/smoke.yaml --force

soak: $(VENV)/.installed-dev
	ECHOCHAMBER_SOAK=1 $(BIN)/python -m pytest -rs
	$(BIN)/python tests/faults/soak.py --minutes $(MINUTES)

$(VENV)/.installed-bench: pyproject.toml | $(BIN)/python
	$(if $(TORCH_INDEX),$(PIP) install --quiet --index-url $(TORCH_INDEX) '$(TORCH)')
	$(PIP) install --quiet --editable '.[bench]'
	touch $@ $(VENV)/.installed

bench: $(VENV)/.installed-bench
	$(BIN)/echochamber bench all --json bench.json

test: $(VENV)/.installed-dev check smoke
	$(BIN)/python -m pytest -m "not long"

test-long: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m long -rs

check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell src tests docs studies examples README.md CHANGELOG.md LOG.md
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
