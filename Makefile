# One line each. What a checkout needs is set up first (scripts/setup.sh: instant when it is there already).
# BUNDLE=FILE sets up from a bundle without any network; PYTHON=... names a Python 3.11; CGC_CACHE=... the cache.
SHELL := /bin/bash
export CGC_CACHE ?= $(HOME)/.cache/cgc
export BUNDLE PYTHON
# Compiled Python lies in one place, not beside each source; what root compiled is no obstacle to anybody there.
export PYTHONDONTWRITEBYTECODE :=
export PYTHONPYCACHEPREFIX := $(CURDIR)/.venv/pycache
BIN := .venv/bin
ROOMS := inventories stacks playbooks exporters policies scripts tests
AS_ROOT := $(if $(filter 0,$(shell id -u)),,sudo --preserve-env=CGC_CACHE,CGC_TOOLCHAIN_BASE,PYTHONPYCACHEPREFIX)

.PHONY: rehearse test check bench clean set-up set-up-python format-checked linted typed playbooks-linted yaml-linted fast-tested pins units
.NOTPARALLEL:

rehearse: set-up ; $(AS_ROOT) $(BIN)/cgc rehearse up

test: set-up format-checked linted typed playbooks-linted yaml-linted ; $(AS_ROOT) $(BIN)/python -m pytest

check: set-up-python format-checked linted typed playbooks-linted yaml-linted fast-tested

bench: set-up ; $(AS_ROOT) $(BIN)/python -m tests.bench

clean: ; if [ -e .rehearsal ]; then $(AS_ROOT) $(BIN)/cgc rehearse down; fi && $(AS_ROOT) rm -rf .venv .rehearsal .mypy_cache .ruff_cache .hypothesis build *.egg-info

set-up: ; @scripts/setup.sh all

set-up-python: ; @scripts/setup.sh python

format-checked: ; $(BIN)/ruff format --check $(ROOMS)

linted: ; $(BIN)/ruff check $(ROOMS)

typed: ; $(BIN)/mypy $(ROOMS)

playbooks-linted: ; PATH=$(CURDIR)/$(BIN):$$PATH $(BIN)/ansible-lint --offline --profile production playbooks

yaml-linted: ; $(BIN)/yamllint --strict .

fast-tested: ; $(BIN)/python -m pytest -q -m "not live and not slow"

# Turns requirements.in and requirements-dev.in into requirements.txt: every version and every hash of every file.
pins: set-up-python ; $(BIN)/python -m pip install -q uv && $(BIN)/uv pip compile -q --upgrade --generate-hashes --no-header --no-annotate --python-version 3.11 --python-platform x86_64-unknown-linux-gnu requirements.in requirements-dev.in -o requirements.txt

# Gathers the nation's units and its reform anew from their pinned sources (inventories/SOURCES.md).
units: set-up-python ; $(BIN)/python -m scripts.gathering_units
