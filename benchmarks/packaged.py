"""Milliseconds that each packaged network takes, for the README's table of models.

python benchmarks/packaged.py
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import visavis  # before torch: how threads wait is decided when that is loaded

# isort: split
import numpy as np
import torch

from visavis.audio.speech import SpeechFeatures
from visavis.enhance.interpolation import Neighbours, load_interpolator
from visavis.enhance.super_resolution import load_enlarger
from visavis.judges.face_network import load_face_network
from visavis.judges.mouth_sync import MouthSync, MouthSyncConfig
from visavis.nn.engine import choose_threads
from visavis.pipelines.bench import bench
from visavis.weights.network import load_network
from visavis.weights.store import PACKAGED, packaged, resolve

RUNS = 15


def median_ms(run: Callable[[], object]) -> float:
    """Median of some runs after two that warm up."""
    times = []
    with torch.inference_mode():
        for number in range(RUNS + 2):
            began = time.perf_counter()
            run()
            if number > 1:
                times.append(1000 * (time.perf_counter() - began))
    return statistics.median(times)


def main() -> None:
    """Print a line a network."""
    print(f"visavis {visavis.__version__}, {choose_threads(None)} threads")
    report = bench("avfr-256", frames=RUNS)
    stages = report["ms_per_frame"]
    print(f"avfr-256: {stages['motion'] + stages['render']:.0f} ms, {report['precision']}; all stages {stages}")
    points = torch.rand(1, 10, 2)
    picture = torch.rand(1, 3, 256, 256)
    pair = Neighbours(picture, picture.flip(3), points, points, torch.full((1,), 0.5))
    between, enlarger, face = load_interpolator(), load_enlarger(), load_face_network()
    sync = load_network(resolve("sync-96"), "sync", MouthSyncConfig, MouthSync)
    framed = torch.rand(1, 3, *(2 * [256 + 2 * enlarger.config.reach]))
    small, frames = torch.rand(1, 3, 128, 128), sync.config.window
    crops, shapes = torch.rand(1, frames, 32, 48), torch.rand(1, frames, sync.config.shape_values)
    mel = torch.rand(1, 80, 4 * frames + 16)
    features = SpeechFeatures.load()
    window = np.random.default_rng(0).normal(0, 0.1, features.window_samples).astype(np.float32)
    runs: dict[str, Callable[[], object]] = {
        "between-256": lambda: between(pair),
        "characters-16": lambda: features.compute(window),
        "enlarge-2x": lambda: enlarger(framed),
        "face-128": lambda: face(small),
        "sync-96": lambda: (sync.see(crops, shapes), sync.listen(mel)),
    }
    for name, run in runs.items():
        print(f"{name}: {median_ms(run):.1f} ms")
    for entry in packaged().values():
        print(f"{entry.name}: {(PACKAGED / entry.file).stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
