# Two commands do everything on a fresh machine with Python 3.11+ and make: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt

.PHONY: help demo test nights fuzz lint format check bench bench-search bench-workers bench-gpu bench-leaks calibrate docs-map docs-pictures docs-tables train-toy train-toy-sd15 clean
.DEFAULT_GOAL := help

help:  ## what can be made
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-14s%s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: .venv/installed  ## install into .venv, run the toy sweep, write results/toy/report.html
	$(BIN)/gridsearch run experiments/toy.toml

# Compiled modules are kept whatever the user's settings: each process of the tests would compile all of them again.
test: .venv/test-installed  ## run the tests
	HF_HUB_OFFLINE=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n 2 --dist worksteal

fuzz: .venv/test-installed  ## all doors for files of strangers: 10,000 checkpoints, 10,000 experiments, 2,000 pictures (ten minutes)
	HF_HUB_OFFLINE=1 GRIDSEARCH_FUZZ=1 $(BIN)/python -m pytest -n 2 --dist loadfile tests/fuzz

nights: .venv/test-installed  ## tests of whole nights: lost databases, full disks, dead workers (20 minutes; PostgreSQL and root)
	HF_HUB_OFFLINE=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -m night

lint: .venv/test-installed  ## look for mistakes, unformatted code and wrong types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/test-installed  ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

check: lint test  ## lint, then test

bench: .venv/test-installed  ## speeds, as ratios measured side by side (benchmarks/README.md keeps what was seen)
	$(BIN)/python -m benchmarks.trial
	$(BIN)/python -m benchmarks.scores
	$(BIN)/python -m benchmarks.merging
	$(BIN)/python -m benchmarks.methods
	$(BIN)/python -m benchmarks.fingerprint
	$(BIN)/python -m benchmarks.report

bench-search: .venv/test-installed  ## what searches find with how many renders: simulated, and on the toy (an hour)
	$(BIN)/python -m benchmarks.search
	$(BIN)/python -m benchmarks.search --coverage
	$(BIN)/python -m benchmarks.search --worlds --studies 150
	$(BIN)/python -m benchmarks.search.toy
	$(BIN)/python -m benchmarks.dimensions

bench-workers: .venv/test-installed  ## eight workers against one on a real PostgreSQL, and a thousand simulated
	$(BIN)/python -m benchmarks.workers
	$(BIN)/python -m benchmarks.workers.simulation

bench-gpu: .venv/test-installed  ## the same on full-size SDXL of random weights (14 GB of disk), and the GPU tests
	$(BIN)/python -m benchmarks.full_size
	$(BIN)/python -m pytest -m gpu

bench-leaks: .venv/test-installed  ## 500 trials of the toy: memory and open files must not grow (ten minutes)
	$(BIN)/python -m benchmarks.leaks

calibrate: .venv/test-installed  ## how metrics answer to blur, noise and the like: write docs/calibration.md
	$(BIN)/python -m benchmarks.calibrate

docs-pictures: .venv/test-installed demo  ## draw the pictures of docs/ again, with Chromium: the report's, and what is wrong with images
	$(BIN)/python docs/pictures.py

docs-map:  ## write docs/code.md again from the modules' docstrings
	$(PYTHON) docs/code_map.py

docs-tables: .venv/installed  ## write the tables of columns and metrics again, in results/README.md and docs/scoring.md
	$(BIN)/python docs/column_tables.py

train-toy: .venv/installed  ## train the toy checkpoints again from nothing (experiments/toy/README.md)
	$(BIN)/python experiments/toy/train.py

train-toy-sd15: .venv/installed  ## train the tiny Stable Diffusion 1.5 of experiments/toy-sd15.toml again (minutes)
	$(BIN)/python experiments/toy-sd15/train.py

clean:  ## remove the environment and what was built
	rm -rf .venv build *.egg-info

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(PIP) -e .
	touch $@

.venv/test-installed: .venv/installed
	$(PIP) -e '.[dev]'
	touch $@
