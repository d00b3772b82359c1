"""Learn how faces move from the meshes of a data set's training clips.

    python tools/learn_expressions.py SHARDS [--model avfr-256]

Writes src/visavis/face/expressions.safetensors. The weights lend their face model as a basis; what is learned are
fields over the mesh, which serve any face model, so that new weights need no new run.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

import visavis.face.expression as expression
from visavis.data.shards import Priors, read
from visavis.face.expression import Expressions, ExpressionSpace
from visavis.face.measures import LIPS, OTHERS, Measures
from visavis.face.morphable import CAMERA_VALUES, LinearFaceModel
from visavis.generators.avfr.generator import AvfrGenerator
from visavis.pipelines.load import load_generator

MODES = 32
FRAMES = 64  # of each clip, so that long clips do not count more
LEAST_FRAMES = 50
WITHIN = (0.5, 99.5)  # percentiles of frames that bound a person's own movement
AMONG = (0.5, 99.5)  # and those that bound everybody's


def shapes(shards: Path, model: LinearFaceModel) -> Iterator[np.ndarray]:
    """Shape coefficients ``float64 [FRAMES, n]`` of each training clip."""
    for record in read(shards):
        priors = Priors.decode(record.priors)
        meshes = priors.mesh[priors.seen]
        if record.info["split"] != "train" or len(meshes) < LEAST_FRAMES:
            continue
        chosen = np.linspace(0, len(meshes) - 1, FRAMES).astype(int)
        yield np.stack([model.fit(meshes[i])[CAMERA_VALUES:] for i in chosen]).astype(np.float64)


def learn(clips: list[np.ndarray], model: LinearFaceModel) -> Expressions:
    """Modes by PCA of what changes within clips; bounds by percentiles of what is left once the lips are closed."""
    changes = np.concatenate([clip - clip.mean(0) for clip in clips])
    variances, vectors = np.linalg.eigh(changes.T @ changes / len(changes))
    order = np.argsort(variances)[::-1][:MODES]
    scaled = vectors[:, order] * np.sqrt(np.maximum(variances[order], 0))
    modes = np.einsum("nm,npd->mpd", scaled, model.basis)
    nothing = np.zeros(OTHERS.stop - OTHERS.start)
    space = ExpressionSpace.of(model, Expressions(modes, nothing, nothing, nothing, nothing))
    measures = Measures.of(model)
    closed = [space.reach(clip, LIPS, np.zeros((len(clip), LIPS.stop))) for clip in clips]
    resting = [measures(clip.mean(0))[OTHERS] for clip in closed]
    own = np.concatenate([measures(clip)[:, OTHERS] - rest for clip, rest in zip(clips, resting, strict=True)])
    all_of_them = np.concatenate([measures(clip)[:, OTHERS] for clip in clips])
    lowest, highest = np.percentile(own, WITHIN, axis=0)
    least, most = np.percentile(all_of_them, AMONG, axis=0)
    return Expressions(modes, lowest, highest, least, most)


def main() -> None:
    """Learn and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shards", type=Path)
    parser.add_argument("--model", default="avfr-256")
    chosen = parser.parse_args()
    generator = load_generator(chosen.model)
    if not isinstance(generator, AvfrGenerator) or generator.face_model is None:
        raise SystemExit("these weights have no face model")
    clips = list(shapes(chosen.shards, generator.face_model))
    found = learn(clips, generator.face_model)
    path = Path(expression.__file__).parent / "expressions.safetensors"
    arrays = {name: np.asarray(value, np.float32) for name, value in asdict(found).items()}
    arrays["modes"] = arrays["modes"].astype(np.float16)
    save_file(arrays, path)
    print(f"{path}: {len(clips)} clips, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
