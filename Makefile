# Everything sets itself up in .venv on first use, and not again until pyproject.toml changes.
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp

.PHONY: setup demo test test-all lint bench clean

setup: $(STAMP)

$(STAMP): pyproject.toml tools/setup.sh
	bash tools/setup.sh $(VENV)
	touch $@

demo: setup
	mkdir -p out
	$(BIN)/python -m visavis.media.synthetic out/portrait.png out/driving.mp4
	$(BIN)/visavis reenact out/portrait.png out/driving.mp4 -o out/reenacted.mp4 --force
	$(BIN)/visavis reenact out/portrait.png out/driving.mp4 -o out/reenacted-absolute.mp4 --motion absolute --force
	$(BIN)/visavis encode out/driving.mp4 -o out/call.vsv --force
	$(BIN)/visavis inspect out/call.vsv
	$(BIN)/visavis decode out/call.vsv -o out/call.mp4 --force
	@echo "look at out/reenacted.mp4, out/reenacted-absolute.mp4, and out/call.mp4, which came through out/call.vsv"

lint: setup
	$(BIN)/ruff check src tests tools benchmarks
	$(BIN)/ruff format --check src tests tools benchmarks
	$(BIN)/mypy src
	$(BIN)/lint-imports

test: lint
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 -m "not slow and not gpu"

test-all: lint
	$(BIN)/pytest

bench: setup
	$(BIN)/visavis bench

clean:
	rm -rf $(VENV) out
