"""Learn the motion table of weights from the motions of a data set's training clips.

    python tools/learn_motion_table.py SHARDS --model avfr-256 [--cache motions.npz]

Writes src/visavis/codec/tables/<first 16 digits of the weights' sha256>.safetensors, which both ends of a call then
use. Only weights that carry a mesh have a table of their own: its values are turned into components in pixels, and all
keypoints and jacobians are told from them. Weights without a mesh are coded as they are.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

import visavis.codec.transform as transform
from visavis.codec.learn import learn_levels, principal_components, regression
from visavis.codec.transform import MotionTable, plain_table
from visavis.data.shards import Priors, read
from visavis.face.morphable import LinearFaceModel
from visavis.face.types import Observation
from visavis.generators.avfr.generator import AvfrGenerator
from visavis.motion.smooth import OneEuro
from visavis.pipelines.call.weights import WeightsId
from visavis.pipelines.load import load_generator

FACE_POINTS = 468
LEAST_FRAMES = 50
# Keypoints are looked at in every second clip and there in every 20th frame, magnitudes are learned from every twelfth
# clip: all of it together makes calls no smaller by 1 %, and takes four times as long.
KEYPOINT_CLIPS, KEYPOINT_FRAMES = 2, 20
LEVEL_CLIPS = 12
Array = np.ndarray


def motions(shards: Path, generator: AvfrGenerator) -> Iterator[tuple[Array, Array]]:
    """Of each training clip the mesh values ``[T, M]`` of all frames, and whole vectors ``[N, D]`` of some."""
    assert generator.face_model is not None
    for clip, record in enumerate(read(shards)):
        priors = Priors.decode(record.priors)
        if record.info["split"] != "train" or len(priors.seen) < LEAST_FRAMES or not priors.seen.all():
            continue
        smooth = OneEuro()
        meshes = [smooth(mesh, Fraction(n, 25)) for n, mesh in enumerate(priors.mesh)]
        values = np.stack([generator.face_model.fit(mesh) for mesh in meshes]).astype(np.float32)
        vectors = []
        for number, picture in pictures(record.video) if clip % KEYPOINT_CLIPS == 0 else ():
            mask = cv2.resize(priors.segmentation[number], picture.shape[:2])
            seen = Observation(picture, mesh=meshes[number], segmentation=mask)
            vectors.append(generator.analyse(seen).vector)
        yield values, np.array(vectors, np.float32).reshape(-1, generator.kind.layout.size)


def pictures(video: bytes) -> Iterator[tuple[int, Array]]:
    """Every so many pictures of a video in memory."""
    with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        file.write(video)
        file.flush()
        reader = cv2.VideoCapture(file.name)
        number = 0
        while reader.grab():
            if number % KEYPOINT_FRAMES == 0:
                yield number, cv2.cvtColor(reader.retrieve()[1], cv2.COLOR_BGR2RGB)
            number += 1


def movement(model: LinearFaceModel, values: Array) -> Array:
    """``[M, M]``: squared pixels of 256 by which the face's points move under a change of mesh values, on average."""
    still, step = model.points(values)[:FACE_POINTS, :2], np.float32(1e-2)
    effects = []
    for number in range(len(values)):
        moved = values.copy()
        moved[number] += step
        effects.append(((model.points(moved)[:FACE_POINTS, :2] - still) / step * 128).ravel())
    jacobian = np.array(effects, np.float64)
    return jacobian @ jacobian.T / FACE_POINTS


def learn(clips: list[tuple[Array, Array]], generator: AvfrGenerator) -> MotionTable:
    """The table of a generator from its motions."""
    layout, model = generator.kind.layout, generator.face_model
    assert model is not None
    points, others = layout.part("keypoints").size, layout.where("camera").start
    mesh = layout.size - others
    metric = np.mean([movement(model, values[len(values) // 2]) for values, _ in clips[::4]], 0)
    analysis, inverse = principal_components([values.astype(np.float64) for values, _ in clips], metric)
    changes = [(vectors - vectors[0])[1:].astype(np.float64) for _, vectors in clips if len(vectors)]
    change = np.concatenate(changes)
    from_mesh = regression(change[:, others:] @ analysis.T, change[:, :others], 1e-3)
    from_points = regression(change[:, :points], change[:, points:], 1e-4)
    plain = plain_table(layout.size, points // 2)
    table = MotionTable(
        mean=np.concatenate([np.zeros(others), np.mean([values.mean(0) for values, _ in clips], 0)]).astype(np.float32),
        analysis=np.concatenate([np.zeros((mesh, others)), analysis], 1).astype(np.float32),
        synthesis=np.concatenate([from_mesh, inverse.T], 1).astype(np.float32),
        from_points=np.concatenate([np.eye(points), from_points], 1).astype(np.float32),
        levels=np.repeat(plain.levels[:, :1], mesh, 1),
        absolute=np.repeat(plain.absolute[:, :1], mesh, 1),
        offsets=plain.offsets,
    )
    whole = [np.pad(values, ((0, 0), (others, 0))) for values, _ in clips[::LEVEL_CLIPS]]
    return learn_levels(table, [table.analyse(values) for values in whole])


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
    if not isinstance(generator, AvfrGenerator) or generator.face_model is None:
        raise SystemExit("only weights that carry a mesh have a table of their own")
    if chosen.cache is not None and chosen.cache.is_file():
        with np.load(chosen.cache) as kept:
            clips = [(kept[f"{n}/values"], kept[f"{n}/vectors"]) for n in range(len(kept.files) // 2)]
    else:
        clips = list(motions(chosen.shards, generator))
        if chosen.cache is not None:
            kept = {
                f"{n}/{k}": v for n, clip in enumerate(clips) for k, v in zip(("values", "vectors"), clip, strict=True)
            }
            np.savez(chosen.cache, **kept)
    table = replace(learn(clips, generator), weights=weights.sha256)
    path = Path(transform.__file__).parent / "tables" / f"{weights.sha256[:16]}.safetensors"
    path.write_bytes(table.to_bytes())
    print(f"{path}: {len(clips)} clips, {table.components} components, offsets {table.offsets.tolist()}")


if __name__ == "__main__":
    main()
