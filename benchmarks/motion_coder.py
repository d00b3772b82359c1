"""Bits of motion against its error, by quantiser step and by frames in a group, on clips of a data set, unpainted.

    python benchmarks/motion_coder.py DATASET [--model avfr-256] [--limit 8]

The error is the mean distance, in pixels of 256, between the 468 points of the face under coded and uncoded motion.
"""

from __future__ import annotations

import argparse
from fractions import Fraction
from pathlib import Path

import numpy as np

from visavis.codec.motion_coder import MotionEncoder, to_pixels, to_units
from visavis.codec.pivots import nearest_reference
from visavis.codec.transform import GROUP_SIZES, MotionTable, table_for
from visavis.evaluation.rate import pick_clips
from visavis.face.align import whole
from visavis.face.morphable import LinearFaceModel
from visavis.generators.base import Generator
from visavis.media.reader import VideoReader
from visavis.pipelines.analyse import Analyser
from visavis.pipelines.call.weights import WeightsId
from visavis.pipelines.load import load_generator

HEAD_BYTES = 4  # three of the packet, one of its length in a file
EVERY = 7


def motion(path: Path, generator: Generator) -> np.ndarray:
    """Motion vectors ``[T, D]`` of a clip."""
    vectors = []
    with VideoReader(path) as reader, Analyser(generator.needs) as analyser:
        for frame in reader:
            face = analyser.find(frame)
            if face is not None:
                seen = analyser.observe(frame, face, whole(*frame.pixels.shape[:2]), generator.size)
                vectors.append(generator.analyse(seen).vector)
    return np.stack(vectors)


def code(vectors: np.ndarray, table: MotionTable, step: int, group: int) -> tuple[int, np.ndarray]:
    """Bytes that a clip takes, an absolute group a second, and its vectors as a receiver has them."""
    encoder, components = MotionEncoder(table), table.analyse(vectors)
    reference, spent, made = nearest_reference(to_units(components[0])), 0, []
    for at in range(0, len(vectors) - group + 1, group):
        absolute = at // group % (25 // group) == 0
        payload, _, units = encoder.encode(components[at : at + group], step, reference if absolute else None)
        spent += len(payload) + HEAD_BYTES
        made.append(to_pixels(units))
    return spent, table.rebuild(np.concatenate(made), vectors[0])


def error(model: LinearFaceModel, mesh: slice, coded: np.ndarray, true: np.ndarray) -> float:
    """Mean distance of the face's points."""
    pairs = zip(coded[::EVERY], true[: len(coded) : EVERY], strict=True)
    points = [(model.points(a[mesh])[:468, :2], model.points(b[mesh])[:468, :2]) for a, b in pairs]
    return float(np.mean([np.linalg.norm(a - b, axis=1).mean() for a, b in points]) * 128)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--model", default="avfr-256")
    parser.add_argument("--split", default="val")
    parser.add_argument("--limit", type=int, default=8)
    chosen = parser.parse_args()
    generator = load_generator(chosen.model)
    layout, model = generator.kind.layout, getattr(generator, "face_model", None)
    if model is None:
        raise SystemExit("only weights that carry a mesh can be measured")
    table = table_for(WeightsId.of(chosen.model).motion, layout)
    clips = [motion(p, generator) for p in pick_clips(chosen.dataset, chosen.split, 256, chosen.limit, Fraction(4))]
    print("| step | frames in a group | waits / ms | kbps | error / px | worst clip / px |\n|---|---|---|---|---|---|")
    mesh = slice(layout.where("camera").start, layout.where("shape").stop)
    cases = [(step, GROUP_SIZES[-1]) for step in range(8, 17)] + [(14, group) for group in GROUP_SIZES[:-1]]
    for step, group in cases:
        coded = [code(clip, table, step, group) for clip in clips]
        errors = [error(model, mesh, made, clip) for (_, made), clip in zip(coded, clips, strict=True)]
        kbps = 8 * sum(spent for spent, _ in coded) / sum(len(made) for _, made in coded) * 25 / 1000
        wait = 40 * (group - 1)
        print(f"| {step} | {group} | {wait} | {kbps:.2f} | {np.mean(errors):.3f} | {max(errors):.3f} |", flush=True)


if __name__ == "__main__":
    main()
