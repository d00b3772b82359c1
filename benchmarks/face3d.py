"""How many frames a second the 3D face is fitted and rasterised: one core, medians over rounds.

    python benchmarks/face3d.py [--shards SHARDS] [--rounds 15]

Without shards the faces are made of the model itself, half as large as the picture and turned at random; with them they
are the first frames of the validation clips, and their mean vertex error is measured too.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before NumPy and torch

import numpy as np
import torch

from visavis.data.shards import read
from visavis.face.fitting import IdentityTrack, fit_clip, vertex_error
from visavis.face.model3d import FaceModel, load_face_model
from visavis.face.nmfc import mesh_flow, nmfc, nmfc_colours
from visavis.face.raster import rasterise, rasterise_batch
from visavis.face.types import SKIN_POINTS

SIDE = 256
FRAMES = 64


def made(model: FaceModel) -> np.ndarray:
    """Faces ``[64, 468, 3]`` of likely coefficients."""
    rng = np.random.default_rng(0)
    camera = rng.uniform([-0.1, -0.1, -0.9, -0.3, -0.7, -0.2], [0.1, 0.1, -0.7, 0.3, 0.7, 0.2], (FRAMES, 6))
    identity = rng.standard_normal(len(model.identity)) * model.identity_scale
    expression = rng.standard_normal((FRAMES, len(model.expression))) * model.expression_scale
    return model.points(*(part.astype(np.float32) for part in (camera, identity, expression)))


def of_shards(shards: Path) -> tuple[np.ndarray, float]:
    """First frames of validation clips, and the mean vertex error of whole clips in pixels."""
    faces, errors = [], []
    for record in read(shards):
        if record.info["split"] == "val":
            priors = record.decoded()
            meshes = priors.mesh[priors.seen][:, :SKIN_POINTS]
            faces.append(meshes[0])
            errors.append(float(vertex_error(meshes, fit_clip(meshes)).mean()) * SIDE / 2)
    return np.stack(faces), statistics.mean(errors)


def per_second(rounds: int, frames: int, run: Callable[[], object]) -> float:
    """Median frames a second of the processor's time: others on the machine do not count."""
    run()
    found = []
    for _ in range(rounds):
        begun = time.process_time()
        run()
        found.append(frames / (time.process_time() - begun))
    return round(statistics.median(found), 1)


def main() -> None:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=Path)
    parser.add_argument("--rounds", type=int, default=15)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    model = load_face_model()
    found: dict[str, float] = {}
    if chosen.shards:
        faces, found["vertex_error_px"] = of_shards(chosen.shards)
    else:
        faces = made(model)
    colours = nmfc_colours(model)
    rasters = [rasterise(points, model.triangles, SIDE) for points in faces]
    batch, triangles = torch.from_numpy(faces), torch.tensor(model.triangles)
    track = IdentityTrack(model)
    found["pixels_of_a_face"] = round(statistics.mean(int((raster.index >= 0).sum()) for raster in rasters))
    runs: dict[str, Callable[[], object]] = {
        "fit_clip": lambda: fit_clip(faces, model),
        "identity_track": lambda: [track.see(points) for points in faces],
        "rasterise": lambda: [rasterise(points, model.triangles, SIDE) for points in faces],
        "rasterise_batch": lambda: rasterise_batch(batch, triangles, SIDE),
        "nmfc": lambda: [nmfc(raster, colours) for raster in rasters],
        "mesh_flow": lambda: [mesh_flow(raster, model.triangles, faces[0]) for raster in rasters],
    }
    for name, run in runs.items():
        found[f"{name}_fps"] = per_second(chosen.rounds, len(faces), run)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
