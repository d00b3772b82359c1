# make demo | test | test-all | lint | bench | setup | clean
# Needs make and a Python 3.10-3.12; creates .venv once and again only when pyproject.toml changes.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp
PYTHONS := python3.11 python3.12 python3.10 python3
SUITABLE := import ensurepip, sys, venv; sys.exit(not (3, 10) <= sys.version_info[:2] < (3, 13))
TORCH := 2.13.0
TORCH_CPU_INDEX := https://download.pytorch.org/whl/cpu
# OpenCV and MediaPipe load these from the system.
LIBRARIES := libgl1 libegl1 libglib2.0-0
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# One thread a process: the tests run in as many processes as there are cores here.
THREADS := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1

.PHONY: demo test test-all lint bench setup clean

demo: $(STAMP)
	mkdir -p out
	$(BIN)/python examples/draw_inputs.py out
	$(BIN)/visavis reenact out/portrait.png out/driving.mp4 -o out/reenacted.mp4 --force
	@echo "out/reenacted.mp4: the portrait out/portrait.png, moved by out/driving.mp4 and its sound"

test: lint
	$(THREADS) $(BIN)/pytest -m "not slow and not gpu" -n 2

test-all: lint
	$(THREADS) $(BIN)/pytest -n 2

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict src
	$(BIN)/lint-imports

bench: $(STAMP)
	$(BIN)/visavis bench

setup: $(STAMP)

# The order of tries: a CPU build from the configured index, from PyTorch's own, then whatever the index has.
$(STAMP): pyproject.toml
	@python=; \
	find_python() { for name in $(PYTHONS); do \
	  if "$$name" -c '$(SUITABLE)' >/dev/null 2>&1; then python=$$name; return; fi; done; }; \
	root_apt() { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; }; \
	if [ -x $(BIN)/python ] && $(BIN)/python -m pip --version >/dev/null 2>&1; then echo "setup: using $(VENV)"; else \
	  find_python; \
	  if [ -z "$$python" ] && root_apt; then \
	    echo "setup: installing python3 and python3-venv"; \
	    apt-get -qq update; DEBIAN_FRONTEND=noninteractive apt-get -qq install -y python3 python3-venv >/dev/null; find_python; fi; \
	  if [ -z "$$python" ]; then \
	    echo "setup: no Python 3.10 to 3.12 with venv found; on Debian or Ubuntu: apt-get install python3 python3-venv" >&2; exit 1; fi; \
	  echo "setup: creating $(VENV) with $$python"; "$$python" -m venv --clear $(VENV); fi; \
	if ! $(BIN)/python -c 'import torch' 2>/dev/null; then \
	  echo "setup: installing torch"; \
	  if command -v nvidia-smi >/dev/null; then $(PIP) install "torch==$(TORCH)"; \
	  else $(PIP) install "torch==$(TORCH)+cpu" 2>/dev/null \
	    || $(PIP) --retries 0 --timeout 20 install "torch==$(TORCH)+cpu" --extra-index-url $(TORCH_CPU_INDEX) 2>/dev/null \
	    || $(PIP) install "torch==$(TORCH)"; fi; fi; \
	echo "setup: installing visavis and its tools"; \
	$(PIP) install --editable ".[dev]"; \
	if ! $(BIN)/python -c 'import cv2' 2>/dev/null; then \
	  if root_apt; then \
	    echo "setup: installing $(LIBRARIES)"; \
	    apt-get -qq update; DEBIAN_FRONTEND=noninteractive apt-get -qq install -y $(LIBRARIES) >/dev/null; fi; \
	  if ! $(BIN)/python -c 'import cv2'; then \
	    echo "setup: OpenCV does not load; on Debian or Ubuntu: apt-get install $(LIBRARIES)" >&2; exit 1; fi; fi; \
	touch $@

clean:
	rm -rf $(VENV) out build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
