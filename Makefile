# Sets up what it needs in .venv and runs it: `make demo` and `make test` work on a bare machine with Python 3.11.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# two at once; the tests of a file share what was made for them, and files come in the order of tests/conftest.py
TWO := --numprocesses 2 --dist loadfile --no-loadscope-reorder

.PHONY: demo ui test lint fast hunt browser manifests acceptance soak clean

demo: $(READY)
	$(BIN)/binclf demo demo

# Prefect's pages and MLflow's on 127.0.0.1, with the demo's data; Ctrl-C stops everything.
ui: $(READY)
	$(BIN)/python -m deployments.ui demo --score flights demo/data/new_flights demo/scored/nightly

test: lint
	$(BIN)/pytest $(TWO)

fast: $(READY)
	$(BIN)/pytest $(TWO) -m "not slow"

# Laws tried on examples that no run has seen, ten times as many (see tests/laws.py); again and again finds more.
hunt: $(READY)
	$(BIN)/pytest $(TWO) -m "hypothesis and not slow" --hypothesis-profile hunt

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# What a colleague does in the forms, in a real browser; some minutes. Pictures in build/pictures.
browser: $(READY)
	command -v chromium chromium-browser google-chrome >/dev/null || \
	    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium; }
	$(BIN)/pip install --quiet --editable ".[browser]"
	$(BIN)/pytest -m browser

# Kubernetes objects against the schemas of Kubernetes (110 MB, for this alone).
manifests: $(READY)
	$(BIN)/pip install --quiet --editable ".[manifests]"
	$(BIN)/pytest tests/test_manifests.py

# The full counts of kills, splits and worlds, seeded; with REAL=DIR also the real data sets in DIR.
acceptance: $(READY)
	$(BIN)/python -m tests.acceptance $(REAL)

# Retraining and scoring for half an hour with a fault in each round (see tests/soak.py).
soak: $(READY)
	$(BIN)/python -m tests.soak --minutes $(or $(MINUTES),30)

$(READY): pyproject.toml $(wildcard binclf/kernels/*.c)
	@echo "Installing into $(VENV): 2.3 GB or more, some minutes without a word"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --editable ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) demo build *.egg-info
