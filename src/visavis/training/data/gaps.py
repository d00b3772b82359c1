"""Frames and their neighbours from shards, for learning to interpolate."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from visavis.core.errors import DataError
from visavis.data.pictures import opened
from visavis.data.quality import is_kept
from visavis.data.shards import ClipRecord, Priors, read
from visavis.enhance.interpolation import Neighbours
from visavis.face.mesh import to_pixels
from visavis.media.frame import Pixels
from visavis.training.data.damage import soften
from visavis.training.task import TensorBatch

#: Consecutive frames that are kept together: neighbours are at most five apart.
RUN = 6
_FEWEST_POINTS, _MOST_POINTS = 8, 32
_NOISE = 0.004
_STILL_SHARE = 0.1
_OFF_CENTRE_PX = 40.0


@dataclass(frozen=True)
class Stretch:
    """Six frames in a row.

    Attributes:
        identity: whose face.
        pictures: ``uint8 [6, S, S, 3]``.
        mesh: ``float32 [6, 478, 2]`` in [-1, 1].
    """

    identity: str
    pictures: Pixels
    mesh: NDArray[np.float32]

    @property
    def movement(self) -> float:
        """Mean way of a point from the first frame to the last."""
        return float(np.abs(self.mesh[-1] - self.mesh[0]).mean())


def load_stretches(folder: Path, split: str, stride: int) -> list[Stretch]:
    """Decode every ``stride``-th stretch of six frames, all with a face, of the split's clips that are good enough.

    Raises:
        DataError: no shards, damaged ones, or no such stretch.
    """
    records = (record for record in read(folder) if record.info["split"] == split and is_kept(record.info))
    found = [stretch for record in records for stretch in _decode(record, stride)]
    if not found:
        raise DataError(f"{folder}: no clip of split '{split}' with {RUN} frames in a row")
    return found


def bridged(priors: Priors) -> Priors:
    """Priors in which a frame that was not seen, between two that were, has the mean of their meshes."""
    lost = 1 + np.flatnonzero(~priors.seen[1:-1] & priors.seen[:-2] & priors.seen[2:])
    seen, mesh = priors.seen.copy(), priors.mesh.copy()
    seen[lost] = True
    mesh[lost] = (mesh[lost - 1] + mesh[lost + 1]) / 2
    return replace(priors, seen=seen, mesh=mesh)


def _decode(record: ClipRecord, stride: int) -> list[Stretch]:
    priors = bridged(record.decoded())
    cuts = record.info.get("cuts", [])  # what lies between two shots, nobody has seen
    wanted = [
        first
        for first in range(0, len(priors.seen) - RUN + 1, RUN * stride)
        if priors.seen[first : first + RUN].all() and not any(first < cut < first + RUN for cut in cuts)
    ]
    pictures: dict[int, Pixels] = {}
    with opened(record.name, record.video) as video:
        for index in range(wanted[-1] + RUN if wanted else 0):
            if not video.grab():
                break
            if any(first <= index < first + RUN for first in wanted):
                pixels = video.retrieve()
                if pixels is not None:
                    pictures[index] = pixels
    identity, found = str(record.info["identity"]), []
    for first in wanted:
        frames = range(first, first + RUN)
        if all(index in pictures for index in frames):
            mesh = priors.mesh[first : first + RUN, :, :2].astype(np.float32)
            found.append(Stretch(identity, np.stack([pictures[index] for index in frames]), mesh))
    return found


@dataclass(frozen=True)
class GapBatch(TensorBatch):
    """B pairs of neighbours, as :class:`~visavis.enhance.interpolation.Neighbours`, and the true frames between them.

    Attributes:
        truth: ``float32 [B, 3, S, S]`` in [0, 1].
    """

    before: Tensor
    after: Tensor
    before_points: Tensor
    after_points: Tensor
    share: Tensor
    truth: Tensor

    @property
    def pair(self) -> Neighbours:
        """What the network sees."""
        return Neighbours(self.before, self.after, self.before_points, self.after_points, self.share)


class Gaps:
    """Draws batches; batch ``step`` depends on the seed and the step alone.

    Faces that move are drawn more often. A random handful of mesh points stands for keypoints, slightly off, so that
    the network learns to live with those of any family.

    Args:
        stretches: from :func:`load_stretches`.
        side: of the squares that are cut around the face; a multiple of 8.
        softened: share of the pairs whose three pictures are blurred and coded, as generated ones are.
    """

    def __init__(self, stretches: list[Stretch], *, side: int, softened: float = 0.0, seed: int = 0) -> None:
        self.stretches, self.side, self.softened, self.seed = stretches, side, softened, seed
        share = np.sqrt([stretch.movement + 1e-3 for stretch in stretches])
        self._share = share / share.sum()

    def batch(self, step: int, count: int) -> GapBatch:
        """Return batch number ``step`` of ``count`` pairs."""
        rng = np.random.default_rng([self.seed, step])
        points = int(rng.integers(_FEWEST_POINTS, _MOST_POINTS + 1))
        columns = zip(*[self._draw(rng, points) for _ in range(count)], strict=True)
        return GapBatch(*[torch.from_numpy(np.stack(column)) for column in columns])

    def _draw(self, rng: np.random.Generator, count: int) -> tuple[NDArray[np.float32], ...]:
        stretch = self.stretches[int(rng.choice(len(self.stretches), p=self._share))]
        gap = int(rng.integers(2, RUN))
        first = int(rng.integers(RUN - gap))
        frames = [first, first + gap, first + int(rng.integers(1, gap))]
        share = (frames[2] - first) / gap
        if rng.random() < 0.5:
            frames[:2], share = frames[1::-1], 1 - share
        size = stretch.pictures.shape[1]
        corner = self._corner(to_pixels(stretch.mesh[frames[2]], size).mean(0), size, rng)
        picked = rng.choice(stretch.mesh.shape[1], count, replace=False)
        points = [self._points(stretch.mesh[frame][picked], corner, size, rng) for frame in frames[:2]]
        if rng.random() < _STILL_SHARE:
            points[1] = points[0]
        pictures = [self._cut(stretch.pictures[frame], corner) for frame in frames]
        if rng.random() < self.softened:
            state = int(rng.integers(2**31))
            pictures = [soften(picture, np.random.default_rng(state)) for picture in pictures]
        if rng.random() < 0.5:
            pictures = [picture[:, ::-1] for picture in pictures]
            points = [at * np.array([-1, 1], np.float32) for at in points]
        before, after, truth = (np.ascontiguousarray(picture.transpose(2, 0, 1)) for picture in pictures)
        return before, after, points[0], points[1], np.array(share, np.float32), truth

    def _corner(self, centre: NDArray[np.float32], size: int, rng: np.random.Generator) -> NDArray[np.int_]:
        """Where a square near ``centre`` begins, ``(x, y)`` in pixels."""
        at = centre + rng.normal(0, _OFF_CENTRE_PX * size / 256, 2) - self.side / 2
        return np.asarray(np.clip(np.rint(at), 0, size - self.side), np.int_)

    def _points(
        self, mesh: NDArray[np.float32], corner: NDArray[np.int_], size: int, rng: np.random.Generator
    ) -> NDArray[np.float32]:
        """Points of the whole picture as points of the square, with noise."""
        noisy = mesh + rng.normal(0, _NOISE, mesh.shape)
        return np.asarray((size * (noisy + 1) / 2 - corner) * 2 / self.side - 1, np.float32)

    def _cut(self, pixels: Pixels, corner: NDArray[np.int_]) -> NDArray[np.float32]:
        x, y = corner
        return np.asarray(pixels[y : y + self.side, x : x + self.side], np.float32) / np.float32(255)
