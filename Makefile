# The whole developer interface. `make run` and `make test` set up what they need by themselves;
# PYTHON=python3.12 chooses the interpreter of a new .venv, ARGS go to the command that is run.

SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
INPUTS := pyproject.toml constraints.txt
BASE := $(VENV)/.installed-base
DEV := $(VENV)/.installed-dev
QUICKFIX := $(VENV)/.installed-quickfix

.PHONY: help run test spin bounds check setup setup-base bench docs format clean
.DEFAULT_GOAL := help

help: ## Show the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 18

run: $(BASE) ## A simulated market, the daemon that makes it, and a live view (Ctrl-C drains)
	@$(BIN)/axiom demo $(ARGS)

# Kernels are compiled first: within a test it would count against the test's own time limit.
test: $(DEV) $(QUICKFIX) ## Every test, those with a daemon in park and in spin mode (ARGS: only these, once)
	@if [ -z "$(ARGS)" ]; then $(BIN)/axiom warmup; fi
	@$(BIN)/pytest $(ARGS)
	@if [ -z "$(ARGS)" ]; then $(MAKE) --no-print-directory spin; fi

spin: $(DEV) ## The tests of whole daemons once more, with the step in a spinning thread
	@echo "axiom: faults and end to end once more, in spin mode"
	@AXIOM_LOOP_MODE=spin $(BIN)/pytest tests/faults tests/e2e --ignore=tests/faults/fix

KERNELS := tests/market tests/engine/step tests/engine/test_loop.py tests/risk tests/strategies tests/gpu tests/fix/codec \
	tests/simulator/test_matching.py

bounds: $(DEV) ## The kernels' tests once more, with every array access checked
	@NUMBA_BOUNDSCHECK=1 $(BIN)/pytest -q $(KERNELS) $(ARGS)

check: $(DEV) ## Lint, format, types, import rules
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

setup: $(DEV) ## Everything for development

setup-base: $(BASE) ## Only what the product needs

bench: $(DEV) $(QUICKFIX) ## Every benchmark, beside its peer in the same run
	@for file in benchmarks/*.py; do echo "== $$file"; PYTHONPATH=. $(BIN)/python "$$file" || exit 1; done

docs: $(DEV) ## Write the reference pages of docs/ from the tables in the code
	@$(BIN)/axiom reference docs

format: $(DEV) ## Format the code
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix --quiet .

clean: ## Remove the environment and all caches of this checkout; state in .axiom stays
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

# A stamp holds the digest of its inputs: a checkout that only touches the files costs no install.
$(BASE) $(DEV): $(INPUTS) | $(BIN)/python
	@digest=$$(cat $(INPUTS) | cksum); \
	if [ "$$(cat $@ 2>/dev/null)" = "$$digest" ]; then touch $@; exit 0; fi; \
	case $@ in *-dev) what=".[dev]";; *) what=".";; esac; \
	echo "axiom: installing $$what into $(VENV) (first time: about a minute)"; \
	if ! $(BIN)/python -m pip install --disable-pip-version-check --no-input -q \
	    -c constraints.txt -e "$$what" >$(VENV)/install.log 2>&1; then \
	    tail -n 30 $(VENV)/install.log >&2; \
	    echo "axiom: the installation failed; the whole log is $(VENV)/install.log" >&2; exit 1; fi; \
	echo "$$digest" >$@; \
	case $@ in *-dev) echo "$$digest" >$(BASE);; esac

# The peer of the interoperation tests and benchmarks. It has no wheels: built once, then pip's cache has it. Without a
# C++ compiler the tests that need it are skipped by name; nothing else needs it.
$(QUICKFIX): constraints.txt | $(DEV)
	@if $(BIN)/python -c 'import quickfix' 2>/dev/null; then touch $@; exit 0; fi; \
	echo "axiom: building quickfix for the interoperation tests (once, 5 to 9 minutes; log: $(VENV)/quickfix.log)"; \
	if $(BIN)/python -m pip install --disable-pip-version-check --no-input -q \
	    -c constraints.txt -e ".[quickfix]" >$(VENV)/quickfix.log 2>&1; then touch $@; \
	else echo "axiom: quickfix could not be built: its tests will be skipped; see $(VENV)/quickfix.log" >&2; fi

# The first interpreter that runs and is of a supported version: a name on the PATH may be a shim
# of one that is not installed.
$(BIN)/python:
	@for python in $(PYTHON) python3 python3.13 python3.12 python3.11; do \
	    if "$$python" -c 'import sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then \
	        echo "axiom: creating $(VENV) with $$("$$python" --version)"; \
	        "$$python" -m venv $(VENV) && exit 0; \
	    fi; \
	done; \
	echo "axiom: needs Python 3.11, 3.12 or 3.13 with venv (Debian: apt install python3-venv); make PYTHON=/path/to/python3.12 ..." >&2; \
	exit 1
