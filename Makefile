# `make` alone lists the targets. All but `help` and `clean` set the repository up first; when that is done it takes no time.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/set-up

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1

.PHONY: help setup demo test secure check docs fault matrix interrupts simulate mutants fuzz bench fmt lock clean

help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP) ## Make the virtual environment in .venv, with the locked dependencies and the command `holdfast`.

$(STAMP): requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "Holdfast needs Python 3.11 or later as $(PYTHON); name another one: make setup PYTHON=python3.11" >&2; exit 1; }
	@echo "making the virtual environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@total=$$(grep -c '==' requirements-dev.lock); done=0; \
	$(BIN)/python -m pip install --progress-bar off --require-hashes -r requirements-dev.lock | while read -r line; do \
	    case $$line in \
	        Collecting*|Requirement*) \
	            done=$$((done + 1)); \
	            if (( done % 20 == 0 || done == total )); then echo "  $$done of $$total packages"; fi;; \
	        Installing*) echo "  installing them";; \
	    esac; \
	done
	@$(BIN)/python -m pip install --quiet --quiet --no-deps --no-build-isolation -e .
	@touch $@
	@echo "ready: $(BIN)/holdfast --help"

demo: $(STAMP) ## Show it all on this machine: Kafka, two workers, a gateway, a load, a kill -9, an audit; KEEP=1 stays up.
	@$(BIN)/holdfast demo $(if $(KEEP),--keep)

test: $(STAMP) ## Run all tests, end to end and with faults (under 15 minutes).
	@$(BIN)/python -m pytest -p tests.side_by_side

secure: $(STAMP) ## Run the end-to-end tests over a Kafka with TLS, users and exactly the rights that each process needs.
	@HOLDFAST_TEST_BROKER=secure $(BIN)/python -m pytest tests/e2e

check: $(STAMP) ## Check style, types and the repository's own rules (tests/tidy).
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest tests/tidy

docs: $(STAMP) ## Write the tables of docs/contract.md, the rights and the Avro schemas from the code.
	@$(BIN)/python -m tests.tidy.contract
	@$(BIN)/python -m tests.tidy.rights_page

SEED ?= $(shell od -An -N3 -tu4 /dev/urandom | tr -d ' ')
DURATION ?= 300
MINUTES ?= 5

fault: $(STAMP) ## Random faults under load, then the audit; DURATION=3600 for an hour, SEED=... for the same faults again.
	@$(BIN)/python -m tests.fault.soak --seed $(SEED) --seconds $(DURATION)
	@FAULT_LONG=1 STORM_SECONDS=120 $(BIN)/python -m pytest tests/fault/test_limits.py tests/fault/test_proxy.py \
	    tests/fault/test_degraded.py

matrix: $(STAMP) ## Every fault at every step of the protocol on every kind of disk (hours); writes docs/fault-matrix.md.
	@$(BIN)/python -m tests.fault.matrix --seed $(SEED) --out docs/fault-matrix.md

interrupts: $(STAMP) ## Interrupt 1,000 starting gateways on busy processors; none may hang or panic (about 15 minutes).
	@for seed in 1 2 3 4 5; do \
	    HOLDFAST_TEST_INTERRUPTS=200 HOLDFAST_TEST_INTERRUPTS_SEED=$$seed HOLDFAST_TEST_BUSY=2 \
	        $(BIN)/python -m pytest tests/gateway/test_interrupt.py || exit 1; done

simulate: $(STAMP) ## Simulated clusters; random histories of all commands, alone and beside the model; each for MINUTES (5).
	@$(BIN)/python -m tests.simulation --seeds $(SEED).. --minutes $(MINUTES)
	@$(BIN)/python -m tests.tables.proof --seeds $(SEED).. --minutes $(MINUTES)
	@$(BIN)/python -m tests.simulation.against_model --seeds $(SEED).. --minutes $(MINUTES)

mutants: $(STAMP) ## Take one rule at a time out of a copy of the source; a test has to notice.
	@$(BIN)/python -m tests.mutants

CASES ?= 200

fuzz: $(STAMP) ## Requests made from the OpenAPI document, CASES per route and kind; then thousands of hostile connections.
	@$(BIN)/python -m tests.fuzz --cases $(CASES) --seed $(SEED)

bench: $(STAMP) ## Measure throughput, latency, the gateway, recovery and large SKUs; JSON goes to bench/results.
	@$(BIN)/python -m bench

fmt: $(STAMP) ## Format the code and mend what ruff can mend.
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

COMPILE = $(BIN)/pip-compile --quiet --generate-hashes --no-emit-index-url --no-emit-trusted-host --no-emit-find-links \
    --strip-extras --allow-unsafe

lock: $(STAMP) ## Resolve requirements*.in into requirements*.lock.
	@$(COMPILE) --output-file requirements.lock requirements.in
	@$(COMPILE) --output-file requirements-dev.lock requirements-dev.in

clean: ## Remove the virtual environment and all caches; data directories stay.
	@rm -rf $(VENV) build .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
