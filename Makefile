# Liên Thông. `make help` lists what can be done; every target sets up what it needs.
# PORT_BASE=n moves every port, RUN_DIR=path moves all state, KEEP=1 leaves the demo's stack up.

SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
export PORT_BASE RUN_DIR KEEP

.DEFAULT_GOAL := help
.PHONY: help setup demo up clean test quick lint types format screenshots openapi lock bench crashes

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(VENV)/.installed ## Create .venv and install the locked requirements

$(VENV)/.installed: requirements-dev.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; set PYTHON=/path/to/python3.11" >&2; exit 1; }
	@if command -v uv >/dev/null 2>&1; then \
		uv venv --quiet --allow-existing --python "$(PYTHON)" $(VENV) && \
		uv pip install --quiet --python $(PY) --require-hashes -r requirements-dev.lock; \
	else \
		$(PYTHON) -m venv $(VENV) && \
		$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock; \
	fi
	@touch $@

demo: setup ## Run the main job: every dossier of the file, the day tied out to zero (KEEP=1 to browse after)
	@$(PY) -m sandbox.demo

up: setup ## Start the whole stack and keep it running
	@$(PY) -m sandbox.stack

clean: ## Remove the stack's state (.run, or RUN_DIR)
	@$(PYTHON) -m sandbox.clean

# As many processes as cores, four at most: each starts a PostgreSQL of its own.
PARALLEL := -n auto --maxprocesses 4 --dist loadgroup

test: setup lint types ## Check everything: lint, types, import rules, all tests
	@$(PY) -m pytest $(PARALLEL)

quick: setup ## Tests without the slow system tests
	@$(PY) -m pytest $(PARALLEL) -m "not slow"

crashes: setup ## Kill the payment service at every await of its money paths (make test takes every fifth)
	@CRASH_STRIDE=1 $(PY) -m pytest $(PARALLEL) -rP tests/payment/test_crashes.py

lint: setup ## Style and import rules
	@$(PY) -m ruff check --quiet . && $(PY) -m ruff format --quiet --check .
	@$(VENV)/bin/lint-imports --no-logo --quiet 2>/dev/null || $(VENV)/bin/lint-imports

types: setup ## Strict types
	@$(PY) -m mypy --no-error-summary

format: setup ## Put the code in house form
	@$(PY) -m ruff check --quiet --fix . ; $(PY) -m ruff format --quiet .

screenshots: setup ## Take the pictures of the documentation again (needs Chromium)
	@$(PY) -m sandbox.screenshots

openapi: setup ## Write docs/api/*.json again
	@$(PY) -m sandbox.openapi

BENCH := .venv-bench
BENCHMARKS ?= fees_quotes fees_scale fees_bulk fees_lines fees_simulation fees_http matching_quality gateway_sandbox \
	webhook_intake payment_create postal_intake postal_tracking
$(BENCH)/.installed: requirements-bench.lock
	@if command -v uv >/dev/null 2>&1; then \
		uv venv --quiet --allow-existing --python "$(PYTHON)" $(BENCH) && \
		uv pip install --quiet --python $(BENCH)/bin/python --require-hashes -r requirements-bench.lock; \
	else \
		$(PYTHON) -m venv $(BENCH) && \
		$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-bench.lock; \
	fi
	@touch $@

bench: $(BENCH)/.installed ## Measure speed and memory beside other engines (BENCHMARKS="fees_quotes …" for some)
	@missed=""; for name in $(BENCHMARKS); do \
		echo; echo "== $$name"; $(BENCH)/bin/python -m benchmarks.$$name || missed="$$missed $$name"; \
	done; test -z "$$missed" || echo "targets not reached:$$missed"

lock: setup ## Resolve the requirements again, for every supported Python at once
	@for extra in "" dev bench; do \
		$(VENV)/bin/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes \
			--no-annotate --custom-compile-command "make lock" \
			$${extra:+--extra $$extra} -o requirements$${extra:+-$$extra}.lock; \
	done
