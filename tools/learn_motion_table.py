"""Learn the motion table of weights from the motions of a data set's training clips.

    python tools/learn_motion_table.py SHARDS --model avfr-256 [--cache motions.npz]

Writes src/visavis/codec/tables/<first 16 digits of the weights' sha256>.safetensors, which both ends of a call then
use. It serves motion of any kind. What a value is worth is measured twice: by how far it moves the points that its
kind knows of (the face's, where weights carry one), and by how much it changes the pictures that the generator makes.
Of both together the principal components are taken, in pixels; those that hardly move are left out, and what they say
is told from the others. Values that belong to the person are not sent at all.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

import visavis.codec.transform as transform
from visavis.codec.learn import learn_levels, regression, worth_sending
from visavis.codec.transform import POINTS, MotionTable, count_points, plain_table
from visavis.data.shards import ClipRecord, Priors, read
from visavis.face.mesh import LEFT_EYE, LIPS, RIGHT_EYE
from visavis.face.types import Observation
from visavis.generators.base import Generator, Prior
from visavis.motion.keypoint_kind import KeypointKind
from visavis.motion.layout import Layout, Motion
from visavis.motion.morphable_kind import MorphableKind
from visavis.motion.smooth import OneEuro
from visavis.pipelines.call.weights import WeightsId
from visavis.pipelines.load import load_generator
from visavis.pipelines.render import prepared

FACE_POINTS = 468
LEAST_FRAMES = 50
#: Frames between which a change counts.
APART = 8
# Every second clip is looked at, in every eighth frame; every twelfth in all frames, and there pictures are made, too.
CLIPS, WHOLE_CLIPS, RENDERED_CLIPS = 2, 12, 24
#: A picture that is off by so many levels of 255 (root mean square) counts as a face that is off by a pixel. More
#: makes pictures poorer for the bits, less the face's own movement.
LEVELS_A_PIXEL = 17
#: How much points of lips and lids count beside the face's other points. They are few, and what people look at.
LIPS_AND_LIDS = 3
#: Components that move less are not sent, in pixels: a seventh of the default step.
LEAST_MOVE = 0.025
_SMALL = 128  # side at which pictures are compared
Array = np.ndarray


class Clip(NamedTuple):
    """Motion vectors ``[N, D]`` of every so many frames of a clip."""

    vectors: Array
    every: int


def usable(shards: Path) -> Iterator[tuple[int, ClipRecord, Priors]]:
    """The training clips that are looked at, by their number among all clips."""
    for number, record in enumerate(read(shards)):
        if number % CLIPS or record.info["split"] != "train":
            continue
        priors = Priors.decode(record.priors)
        if len(priors.seen) >= LEAST_FRAMES and priors.seen.all():
            yield number, record, priors


def observations(record: ClipRecord, priors: Priors, every: int, needs: frozenset[Prior]) -> Iterator[Observation]:
    """Every so many frames of a clip, as a generator sees them."""
    smooth = OneEuro()
    meshes = [smooth(mesh, Fraction(n, 25)) for n, mesh in enumerate(priors.mesh)]
    for number, picture in pictures(record.video, every):
        if number >= len(meshes):
            return
        mask = cv2.resize(priors.segmentation[number], picture.shape[:2])
        yield Observation(
            picture,
            mesh=meshes[number] if Prior.MESH in needs else None,
            segmentation=mask if Prior.SEGMENTATION in needs else None,
        )


def pictures(video: bytes, every: int) -> Iterator[tuple[int, Array]]:
    """Every so many pictures of a video in memory."""
    with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        file.write(video)
        file.flush()
        reader = cv2.VideoCapture(file.name)
        number = 0
        while reader.grab():
            if number % every == 0:
                yield number, cv2.cvtColor(reader.retrieve()[1], cv2.COLOR_BGR2RGB)
            number += 1


def motions(shards: Path, generator: Generator) -> Iterator[Clip]:
    """Of some training clips all motion vectors, of others some."""
    for number, record, priors in usable(shards):
        every = APART if number % WHOLE_CLIPS else 1
        seen = observations(record, priors, every, generator.needs)
        yield Clip(np.stack([generator.analyse(one).vector for one in seen]), every)


def face_points(generator: Generator, motion: Motion) -> Array | None:
    """Points ``[N, 2]`` in [-1, 1] that should be where they are; None where motion is of nothing that can be shown."""
    kind = generator.kind
    if isinstance(kind, KeypointKind) and kind.face is not None:
        return kind.face.points(np.concatenate([motion["camera"], motion["shape"]]))[:FACE_POINTS, :2]
    if isinstance(kind, MorphableKind) and kind.face is not None:
        return kind.face.points(motion["camera"], motion["identity"], motion["expression"])[:FACE_POINTS, :2]
    return kind.points(motion)


def weights_of(points: int) -> Array:
    """What each point counts ``[N]``, 1 on average."""
    weights = np.ones(points)
    if points == FACE_POINTS:
        weights[list(LIPS + LEFT_EYE + RIGHT_EYE)] = LIPS_AND_LIDS
    return weights / weights.mean()


def movement(generator: Generator, vector: Array) -> Array:
    """``[D, D]``: squared pixels of 256 by which points move under a change of the vector, on average as they count."""
    layout, size, step = generator.kind.layout, len(vector), np.float32(1e-2)
    still = face_points(generator, Motion(vector, layout))
    if still is None:
        return np.zeros((size, size))
    moved = [face_points(generator, Motion(vector + step * row, layout)) for row in np.eye(size, dtype=np.float32)]
    pixels = 128 * np.sqrt(weights_of(len(still)))[:, None]
    effects = np.array([((points - still) / step * pixels).ravel() for points in moved if points is not None])
    return np.asarray(effects @ effects.T / len(still))


def visible(shards: Path, generator: Generator, steps: Array) -> Array:
    """``[D, D]``: squared levels of 255 by which pictures change under a change of the vector, on average over them.

    Args:
        steps: by how much each value is changed to see it ``[D]``; where 0, it is not looked at.
    """
    layout, past = generator.kind.layout, generator.memory + 1
    found = []
    for number, record, priors in usable(shards):
        if number % RENDERED_CLIPS:
            continue
        every = len(priors.seen) // 2
        source, driver = list(observations(record, priors, every, generator.needs))[:2]
        person, vector = prepared(generator, [source]), generator.analyse(driver).vector
        effects = np.zeros((len(vector), 3 * _SMALL**2))
        for value in np.flatnonzero(steps):
            change = steps[value] * np.eye(len(vector), dtype=np.float32)[value]
            more, less = (
                person.render([Motion(moved, layout)] * past, None).astype(np.float32)
                for moved in (vector + change, vector - change)
            )
            small = cv2.resize(more - less, (_SMALL, _SMALL), interpolation=cv2.INTER_AREA)
            effects[value] = small.ravel() / (2 * steps[value])
        found.append(effects @ effects.T / effects.shape[1])
    return np.mean(found, 0)


def changes(clips: list[Clip]) -> tuple[Array, Array]:
    """Changes over :data:`APART` frames, and from the first frame of each clip, ``[N, D]`` each."""
    near = [clip.vectors[APART // clip.every :] - clip.vectors[: -APART // clip.every] for clip in clips]
    far = [(clip.vectors - clip.vectors[0])[APART // clip.every :: APART // clip.every] for clip in clips]
    return np.concatenate(near).astype(np.float64), np.concatenate(far).astype(np.float64)


def looked_at(clips: list[Clip], layout: Layout) -> Array:
    """By how much to change each value to see what it does: as much as it changes by itself; 0 for those held."""
    rms = np.sqrt((changes(clips)[0] ** 2).mean(0))
    return np.where(layout.held, 0, np.maximum(rms, layout.scales / 8)).astype(np.float32)


def learn(clips: list[Clip], seen: Array, generator: Generator) -> MotionTable:
    """The table of a generator from its motions, and from what its pictures show of them (:func:`visible`)."""
    layout = generator.kind.layout
    middle = [clip.vectors[len(clip.vectors) // 2] for clip in clips[::4]]
    metric = np.mean([movement(generator, vector) for vector in middle], 0) + seen / LEVELS_A_PIXEL**2
    sent = np.flatnonzero(~layout.held)
    near, far = changes(clips)
    analysis, synthesis = worth_sending(near[:, sent], far[:, sent], metric[np.ix_(sent, sent)], LEAST_MOVE)
    count, plain = len(analysis), plain_table(layout)
    table = MotionTable(
        mean=_among(np.mean([clip.vectors.mean(0) for clip in clips], 0)[None, sent], sent, layout)[0],
        analysis=_among(analysis, sent, layout),
        synthesis=_among(synthesis, sent, layout),
        from_points=_from_points(far, layout),
        levels=np.repeat(plain.levels[:, :1], count, 1),
        absolute=np.repeat(plain.absolute[:, :1], count, 1),
        offsets=plain.offsets,
        layout=layout,
    )
    return learn_levels(table, [table.analyse(clip.vectors) for clip in clips if clip.every == 1])


def _among(rows: Array, sent: Array, layout: Layout) -> Array:
    """Rows of the values that are sent, with 0 for the others."""
    out = np.zeros((len(rows), layout.size), np.float32)
    out[:, sent] = rows
    return out


def _from_points(far: Array, layout: Layout) -> Array:
    """What keypoints alone say of all values ``[2 K, D]``."""
    if not count_points(layout):
        return np.zeros((0, layout.size), np.float32)
    where = layout.where(POINTS)
    told = regression(far[:, where], far, 1e-4)
    told[:, where] = np.eye(len(told))
    told[:, layout.held] = 0
    return told.astype(np.float32)


def main() -> None:
    """Learn and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shards", type=Path)
    parser.add_argument("--model", default="avfr-256")
    parser.add_argument(
        "--cache", type=Path, help="motions of an earlier run of the same weights, or where to keep them"
    )
    chosen = parser.parse_args()
    generator, weights = load_generator(chosen.model), WeightsId.of(chosen.model)
    if chosen.cache is not None and chosen.cache.is_file():
        with np.load(chosen.cache) as kept:
            clips = [Clip(kept[f"{n}/vectors"], int(kept[f"{n}/every"])) for n in range(len(kept.files) // 2)]
            seen = kept["seen"]
    else:
        clips = list(motions(chosen.shards, generator))
        seen = visible(chosen.shards, generator, looked_at(clips, generator.kind.layout))
        if chosen.cache is not None:
            rows = {f"{n}/{name}": value for n, clip in enumerate(clips) for name, value in clip._asdict().items()}
            np.savez(chosen.cache, seen=seen, **rows)
    table = replace(learn(clips, seen, generator), weights=weights.sha256)
    path = Path(transform.__file__).parent / "tables" / f"{weights.sha256[:16]}.safetensors"
    path.write_bytes(table.to_bytes())
    print(f"{path}: {len(clips)} clips, {table.components} components, offsets {table.offsets.tolist()}")


if __name__ == "__main__":
    main()
