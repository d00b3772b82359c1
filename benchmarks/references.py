"""How much more references are worth to a model that takes several: LMD, CSIM and SSIM for K pictures of a person.

    PYTHONPATH=src python benchmarks/references.py DATASET --split val --model rhythmic-256 --references 1 8 32

References are K frames spread over the first half of each clip, the first one always among them; the frames that are
measured are of its second half, the same for every K, with their own motion. Definitions are those of `evaluate`.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from visavis.evaluation.clip import ALL_PRIORS, SIZE, Seen
from visavis.evaluation.metrics.identity import chip, identity_similarity
from visavis.evaluation.metrics.image import psnr, ssim
from visavis.evaluation.metrics.landmarks import landmark_distance
from visavis.evaluation.networks import MetricNetworks
from visavis.evaluation.protocol import find_clips
from visavis.face.align import whole
from visavis.face.tracker import FaceTracker
from visavis.face.types import Face
from visavis.generators.base import Generator
from visavis.media.frame import Frame
from visavis.media.reader import VideoReader
from visavis.nn.engine import Engine
from visavis.pipelines.analyse import Analyser
from visavis.pipelines.load import load_generator

_METRICS = ("lmd", "lmd_mouth", "csim", "ssim", "psnr")


def main() -> None:
    """Print one row for each number of references."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--split", default="val")
    parser.add_argument("--model", default="rhythmic-256")
    parser.add_argument("--references", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--frames", type=int, default=4, help="measured of each clip")
    parser.add_argument("--each", type=int, default=1, help="of how many clips one is measured")
    options = parser.parse_args()
    generator = _with_room(load_generator(options.model, Engine()), max(options.references))
    networks = MetricNetworks.load(None)
    rows: dict[int, list[list[float]]] = {count: [] for count in options.references}
    clips = 0
    for entry in find_clips(options.dataset, options.split)[:: options.each]:
        with VideoReader(entry.path) as reader:
            frames = list(reader)
        half = len(frames) // 2
        if half < max(*options.references, options.frames):
            continue
        spread = {count: np.linspace(0, half - 1, count).round().astype(int) for count in options.references}
        at = np.linspace(half, len(frames) - 1, options.frames).round().astype(int)
        wanted = sorted({*at, *(n for chosen in spread.values() for n in chosen)})
        with Analyser(ALL_PRIORS, video=False) as analyser:
            seen = {n: one for n in wanted if (one := _seen(analyser, frames[n])) is not None}
        if 0 not in seen:
            continue
        clips += 1
        for count, chosen in spread.items():
            parts = [[seen[n] for n in numbers if n in seen] for numbers in (chosen, at)]
            rows[count] += _measured(generator, *parts, networks)
    frames_measured = len(rows[options.references[0]])
    print(f"{options.model}: {clips} clips of {options.split}, {frames_measured} frames")
    print("| K | " + " | ".join(_METRICS) + " |")
    for count, values in rows.items():
        print(f"| {count} | " + " | ".join(f"{value:.3f}" for value in np.nanmean(values, 0)) + " |", flush=True)


def _seen(analyser: Analyser, frame: Frame) -> Seen | None:
    face = analyser.find(frame)
    if face is None:
        return None
    crop = whole(*frame.pixels.shape[:2])
    mesh = crop.to_crop(face.mesh)
    return Seen(analyser.observe(frame, face, crop, SIZE), Face(mesh * (SIZE / 2) + SIZE / 2))


def _with_room(generator: Generator, most: int) -> Generator:
    """The same network, allowed so many references; its weights are of any number of them."""
    config: Any = getattr(generator, "config", None)
    if generator.references.most >= most:
        return generator
    if getattr(config, "gate", "") != "each":
        raise SystemExit(f"this model takes {generator.references.most} references at most")
    family: Any = type(generator)
    return family(replace(config, references=most), getattr(generator, "network"), generator.engine)  # noqa: B009


def _measured(
    generator: Generator, references: list[Seen], targets: list[Seen], networks: MetricNetworks
) -> list[list[float]]:
    person = generator.prepare([one.observation for one in references])
    found = []
    with FaceTracker(video=False) as tracker:
        for target in targets:
            real = target.observation.picture
            made = person.render((generator.analyse(target.observation),) * (generator.memory + 1), None)
            face = tracker.find(made)
            distances, alike = (float("nan"), float("nan")), float("nan")
            if face is not None:
                distances = landmark_distance(face.mesh, target.face.mesh, SIZE)
                if networks.identity is not None:
                    pair = [chip(made, face.mesh), chip(references[0].observation.picture, references[0].face.mesh)]
                    alike = identity_similarity(*networks.identity.embed(pair))
            found.append([*distances, alike, ssim(made, real), psnr(made, real)])
    return found


if __name__ == "__main__":
    main()
