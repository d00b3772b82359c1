# Everything sets itself up in .venv on first use, and not again until pyproject.toml changes.
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp

.PHONY: setup demo pictures test test-all lint bench clean

setup: $(STAMP)

$(STAMP): pyproject.toml tools/setup.sh
	bash tools/setup.sh $(VENV)
	touch $@

demo: setup
	@echo "demo: seven steps into out/, one to three minutes on two quiet cores"
	@mkdir -p out
	@echo "demo: 1 of 7, drawing a portrait and a talking clip with sound"
	$(BIN)/python -m visavis.drawn.synthetic out/portrait.png out/driving.mp4
	@echo "demo: 2 of 7, the portrait follows the clip (relative motion)"
	$(BIN)/visavis reenact out/portrait.png out/driving.mp4 -o out/reenacted.mp4 --force
	@echo "demo: 3 of 7, the same with the clip's own pose (absolute motion)"
	$(BIN)/visavis reenact out/portrait.png out/driving.mp4 -o out/reenacted-absolute.mp4 --motion absolute --force
	@echo "demo: 4 of 7, the head of the portrait is turned by hand"
	$(BIN)/visavis edit out/portrait.png -o out/edited.png --edit yaw=-30..30 --force
	@echo "demo: 5 of 7, the clip becomes a call"
	$(BIN)/visavis encode out/driving.mp4 -o out/call.vsv --force
	$(BIN)/visavis inspect out/call.vsv
	@echo "demo: 6 of 7, the call becomes a video again"
	$(BIN)/visavis decode out/call.vsv -o out/call.mp4 --force
	@echo "demo: 7 of 7, the portrait speaks a sentence"
	$(BIN)/python tools/say.py out/sentence.wav "Hello. I am a picture that was drawn by a program, and I say what I am told."
	$(BIN)/visavis talk out/portrait.png out/sentence.wav -o out/talk.mp4 --force
	@echo
	@echo "demo: done. Look at, and listen to,"
	@echo "  out/reenacted.mp4           the portrait, moved by out/driving.mp4"
	@echo "  out/reenacted-absolute.mp4  the same, in the clip's own pose"
	@echo "  out/edited.png              a sheet of the portrait with its head turned step by step"
	@echo "  out/call.mp4                out/driving.mp4 as it comes out of a call of a few kbit/s (out/call.vsv)"
	@echo "  out/talk.mp4                the portrait, which says out/sentence.wav"

pictures: setup
	$(BIN)/python tools/readme_picture.py docs/pictures/demo.jpg

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
