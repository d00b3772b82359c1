"""Measure the networks of the receiver on real pictures that they have not learned from.

    python tools/measure_enhance.py between SHARDS [--weights FILE] [--stride 40]
    python tools/measure_enhance.py enlarge DATASET [--weights FILE] [--stride 50]

Prints one JSON object; psnr and ssim as `visavis evaluate` defines them, means over pictures.

``between``: for N = 1..4 frames between two real neighbours, the network with the neighbours' mesh points as keypoints
(``network``, every twentieth point), without any movement of keypoints (``blind``), the mixture of the neighbours
(``mixture``) and the nearer neighbour (``hold``); ``face`` is the psnr of the square around the face alone,
``sharp`` the strength of its fine edges over that of the truth's; ``people_below_mixture`` counts people with a mean
psnr less than the mixture's.

``enlarge``: videos of 512x512, halved (``clean``), and also blurred and coded (``soft``). By side of the patches, with
the surroundings that the network asks for and with none (``lone``), where a patch knows nothing beyond its own border.
``seam`` is the mean error of the four pixels along seams over that of the same pixels when the whole picture is
enlarged at once: 1 where seams cannot be told from their surroundings.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from visavis.enhance.interpolation import Interpolator, Neighbours, load_interpolator
from visavis.enhance.super_resolution import Enlarger, enlarge, load_enlarger
from visavis.evaluation.metrics.image import psnr, ssim
from visavis.face.mesh import to_pixels
from visavis.media.frame import Pixels
from visavis.nn.pictures import to_pixels as to_picture
from visavis.training.data.damage import soften
from visavis.training.data.gaps import Stretch, load_stretches
from visavis.training.data.large import LargeClip, halved, load_large

PATCHES = (32, 64, 128)
_EVERY_POINT = 20
_SEAM = 2

Scores = dict[str, list[float]]


def to_tensor(pixels: Pixels) -> torch.Tensor:
    """``uint8 [H, W, 3]`` as ``float32 [1, 3, H, W]`` in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None].float() / 255


def means(rows: Iterable[dict[str, float]]) -> dict[str, float]:
    """Mean of each column."""
    columns: Scores = defaultdict(list)
    for row in rows:
        for name, value in row.items():
            columns[name].append(value)
    return {name: round(float(np.mean(values)), 4) for name, values in columns.items()}


def face_square(stretch: Stretch, at: int) -> tuple[slice, slice]:
    """Rows and columns of the mesh's bounding box."""
    size = stretch.pictures.shape[1]
    points = to_pixels(stretch.mesh[at], size)
    low = np.clip(np.floor(points.min(0)), 0, size - 8).astype(int)
    high = np.clip(np.ceil(points.max(0)), low + 8, size).astype(int)
    return slice(low[1], high[1]), slice(low[0], high[0])


def edges(picture: Pixels) -> float:
    """Root mean square of the Laplacian of luma."""
    return float(np.sqrt(np.square(cv2.Laplacian(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.CV_64F)).mean()))


def frames_between(network: Interpolator, stretch: Stretch, number: int, at: int) -> dict[str, Pixels]:
    """Frame ``at`` made from frames 0 and ``number + 1`` in every way."""
    last = number + 1
    before, after = stretch.pictures[0], stretch.pictures[last]
    share = at / last
    points = [torch.from_numpy(stretch.mesh[frame][None, ::_EVERY_POINT]) for frame in (0, last)]

    def made(first: torch.Tensor, second: torch.Tensor) -> Pixels:
        pair = Neighbours(
            to_tensor(before), to_tensor(after), first, second, torch.tensor([share], dtype=torch.float32)
        )
        return to_picture(network(pair).picture)

    mixture = np.rint((1 - share) * before.astype(np.float32) + share * after)
    return {
        "network": made(points[0], points[1]),
        "blind": made(points[0], points[0]),
        "mixture": np.asarray(mixture, np.uint8),
        "hold": before if share < 0.5 else after,
    }


def measure_between(network: Interpolator, stretches: list[Stretch]) -> dict[str, Any]:
    """Everything that the module's docstring names."""
    table: dict[int, dict[str, Any]] = {}
    for number in (1, 2, 3, 4):
        rows: dict[str, list[dict[str, float]]] = defaultdict(list)
        people: dict[str, list[float]] = defaultdict(list)
        for stretch in stretches:
            at = (number + 1) // 2
            box, truth = face_square(stretch, at), stretch.pictures[at]
            for name, made in frames_between(network, stretch, number, at).items():
                score = {"psnr": psnr(made, truth), "ssim": ssim(made, truth), "face": psnr(made[box], truth[box])}
                score["sharp"] = edges(made[box]) / edges(truth[box])
                rows[name].append(score)
            people[stretch.identity].append(rows["network"][-1]["psnr"] - rows["mixture"][-1]["psnr"])
        table[number] = {name: means(scores) for name, scores in rows.items()}
        table[number]["people_below_mixture"] = sum(float(np.mean(gains)) < 0 for gains in people.values())
    return {"pictures": len(stretches), "people": len({s.identity for s in stretches}), "between": table}


def lone(network: Enlarger, picture: torch.Tensor, side: int) -> torch.Tensor:
    """Enlarge patch by patch, each as if it were a whole picture."""
    rows = [torch.cat([enlarge(network, patch) for patch in row.split(side, 3)], 3) for row in picture.split(side, 2)]
    return torch.cat(rows, 2)


def seam(made: Pixels, whole: Pixels, truth: Pixels, side: int) -> float:
    """Mean error along seams of patches of ``side`` small pixels, over that of the picture made at once."""
    along = np.zeros(len(truth), bool)
    for at in range(2 * side, len(truth), 2 * side):
        along[at - _SEAM : at + _SEAM] = True
    near = along[:, None] | along
    patched, at_once = (np.abs(picture.astype(np.float32) - truth)[near].mean() for picture in (made, whole))
    return float(patched / at_once)


def enlarged(network: Enlarger, small: Pixels, truth: Pixels) -> dict[str, dict[str, float]]:
    """Scores of one picture in every way."""
    picture = to_tensor(small)
    whole = to_picture(enlarge(network, picture))
    found = {
        "bicubic": _score(cv2.resize(small, truth.shape[1::-1], interpolation=cv2.INTER_CUBIC), truth),
        "whole": _score(whole, truth),
    }
    for side in PATCHES:
        for name, made in (("patches", enlarge(network, picture, side)), ("lone", lone(network, picture, side))):
            pixels = to_picture(made)
            found[f"{name} of {side}"] = {**_score(pixels, truth), "seam": seam(pixels, whole, truth, side)}
    return found


def _score(made: Pixels, truth: Pixels) -> dict[str, float]:
    return {"psnr": psnr(made, truth), "ssim": ssim(made, truth)}


def measure_enlarge(network: Enlarger, clips: list[LargeClip]) -> dict[str, Any]:
    """Everything that the module's docstring names."""
    rng, tables = np.random.default_rng(0), {}
    pictures = [picture for clip in clips for picture in clip.pictures]
    for kind in ("clean", "soft"):
        rows: dict[str, list[dict[str, float]]] = defaultdict(list)
        for truth in pictures:
            small = halved(truth.astype(np.float32) / 255)
            small = soften(small, rng) if kind == "soft" else small
            for name, score in enlarged(network, np.rint(255 * small).astype(np.uint8), truth).items():
                rows[name].append(score)
        tables[kind] = {name: means(scores) for name, scores in rows.items()}
    ms = {}
    for side in (*PATCHES, 256):
        began = time.perf_counter()
        for _ in range(3):
            enlarge(network, torch.zeros(1, 3, 256, 256), side)
        ms[side] = round(1000 * (time.perf_counter() - began) / 3, 1)
    return {"pictures": len(pictures), "people": len({clip.identity for clip in clips}), **tables, "ms": ms}


@torch.inference_mode()
def main() -> None:
    """Measure what the command line names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("between", "enlarge"))
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--stride", type=int)
    chosen = parser.parse_args()
    if chosen.what == "between":
        found = measure_between(
            load_interpolator(chosen.weights), load_stretches(chosen.data, "val", chosen.stride or 40)
        )
    else:
        found = measure_enlarge(load_enlarger(chosen.weights), load_large(chosen.data, "val", chosen.stride or 50))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
