"""Single pictures with all that is known of them, from shards, for the face network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from visavis.face.mesh import OVAL, to_pixels
from visavis.judges.face_network import MESH_POINTS
from visavis.training.data.damage import damage, degrade, relight
from visavis.training.data.dataset import Clip
from visavis.training.task import TensorBatch

_DAMAGED_SHARE = 0.6
_DEGRADED_SHARE = 0.6
# A person is nearly always filmed in one place and one shirt: without other ones, these would be what is learned.
_OTHER_BACKGROUND_SHARE = 0.25
_FACE_ALONE_SHARE = 0.15
_HULL_GROWTH = 1.15


@dataclass(frozen=True)
class FaceBatch(TensorBatch):
    """B pictures.

    Attributes:
        picture: ``float32 [B, 3, S, S]`` in [0, 1].
        mesh: ``float32 [B, 468, 2]`` in [-1, 1] of the picture.
        segmentation, damage: ``float32 [B, S/4, S/4]`` in [0, 1]; 1 is person, or a place that was tampered with.
        identity: ``int64 [B]``, which of the training people.
    """

    picture: Tensor
    mesh: Tensor
    segmentation: Tensor
    damage: Tensor
    identity: Tensor


@dataclass(frozen=True)
class Jitter:
    """How far a crop may be off, so that the network does not count on the tracker.

    Attributes:
        zoom: largest factor of the crop's side, both ways.
        turn: degrees, both ways.
        shift: share of the crop's side, both ways.
    """

    zoom: float = 1.2
    turn: float = 10.0
    shift: float = 0.06

    def draw(self, rng: np.random.Generator) -> NDArray[np.float32]:
        """A random similarity ``[2, 3]`` of points in [-1, 1]."""
        angle = np.deg2rad(rng.uniform(-self.turn, self.turn))
        factor = self.zoom ** rng.uniform(-1, 1)
        cos, sin = factor * np.cos(angle), factor * np.sin(angle)
        x, y = rng.uniform(-2 * self.shift, 2 * self.shift, 2)
        return np.array([[cos, -sin, x], [sin, cos, y]], np.float32)


class Faces:
    """Draws batches; batch ``step`` depends on the seed and the step alone.

    Args:
        clips: from :func:`~visavis.training.data.dataset.load_clips`.
        size: side of the pictures.
    """

    def __init__(self, clips: list[Clip], *, size: int, seed: int = 0, jitter: Jitter | None = None) -> None:
        self.clips, self.size, self.seed, self.jitter = clips, size, seed, jitter or Jitter()
        self.people = sorted({clip.identity for clip in clips})
        number = {name: index for index, name in enumerate(self.people)}
        self._of = [number[clip.identity] for clip in clips]
        # Every person counts alike up to a root of how much there is of them.
        frames = np.bincount(self._of, [len(clip.pictures) for clip in clips])
        share = np.array([len(clip.pictures) / np.sqrt(frames[who]) for clip, who in zip(clips, self._of, strict=True)])
        self._share = share / share.sum()

    @property
    def mean_mesh(self) -> NDArray[np.float32]:
        """Mean of all meshes, ``[468, 2]``: where the network starts from."""
        return np.mean([clip.mesh[:, :MESH_POINTS, :2].mean(0) for clip in self.clips], 0, dtype=np.float32)

    def batch(self, step: int, count: int) -> FaceBatch:
        """Return batch number ``step`` of ``count`` pictures."""
        rng = np.random.default_rng([self.seed, step])
        columns = zip(*[self._draw(rng) for _ in range(count)], strict=True)
        return FaceBatch(*[torch.from_numpy(np.stack(column)) for column in columns])

    def _draw(self, rng: np.random.Generator) -> tuple[NDArray[Any], ...]:
        index = int(rng.choice(len(self.clips), p=self._share))
        clip = self.clips[index]
        frame, other = (int(i) for i in rng.integers(len(clip.pictures), size=2))
        move = self.jitter.draw(rng)
        picture, place = self._moved(clip.pictures[frame], move), np.zeros((self.size, self.size), np.float32)
        person = self._moved(clip.segmentation[frame], move)
        mesh = clip.mesh[frame, :MESH_POINTS, :2] @ move[:, :2].T + move[:, 2]
        if rng.random() < _DAMAGED_SHARE:
            picture, place = damage(picture, self._moved(clip.pictures[other], move), rng)
        kind = rng.random()
        if kind < _OTHER_BACKGROUND_SHARE + _FACE_ALONE_SHARE:
            kept = person if kind < _OTHER_BACKGROUND_SHARE else face_mask(mesh, self.size)
            person, place = np.minimum(person, kept), place * kept
            picture = kept[..., None] * picture + (1 - kept[..., None]) * self._background(rng)
        picture = relight(picture, rng)
        if rng.random() < _DEGRADED_SHARE:
            picture = degrade(picture, rng)
        return (
            np.ascontiguousarray(picture.transpose(2, 0, 1)),
            mesh.astype(np.float32),
            _quarter(person),
            _quarter(place),
            np.asarray(self._of[index], np.int64),
        )

    def _background(self, rng: np.random.Generator) -> NDArray[np.float32]:
        """A field of soft colours, or somebody's picture upside down, where nobody sees a face."""
        if rng.random() < 0.5:
            colours = rng.random((int(rng.integers(1, 9)), int(rng.integers(1, 9)), 3), dtype=np.float32)
            return np.asarray(cv2.resize(colours, (self.size, self.size), interpolation=cv2.INTER_LINEAR), np.float32)
        pictures = self.clips[int(rng.integers(len(self.clips)))].pictures
        return self._moved(pictures[int(rng.integers(len(pictures)))], self.jitter.draw(rng))[::-1]

    def _moved(self, pixels: NDArray[np.uint8], move: NDArray[np.float32]) -> NDArray[np.float32]:
        """Pixels in [0, 1] at our size, with what is at point p of the original at ``move(p)``."""
        half = pixels.shape[0] // 2
        if half >= self.size:  # sampling with 2x2 taps would skip pixels
            pixels = np.asarray(cv2.resize(pixels, (half, half), interpolation=cv2.INTER_AREA), np.uint8)
        matrix = np.linalg.inv(_edges(self.size)) @ np.vstack([move, [0, 0, 1]]) @ _edges(pixels.shape[0])
        moved = cv2.warpAffine(pixels, matrix[:2], (self.size, self.size), borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(moved, np.float32) / np.float32(255)


def face_mask(mesh: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Soft mask ``[size, size]`` of the face alone, without hair and neck, of a mesh in [-1, 1]."""
    middle = mesh[:, :2].mean(0)
    oval = (mesh[list(OVAL), :2] - middle) * _HULL_GROWTH + middle
    mask = np.zeros((size, size), np.float32)
    cv2.fillConvexPoly(mask, cv2.convexHull(np.rint(to_pixels(oval, size)).astype(np.int32)), 1.0)
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), size / 64), np.float32)


def _edges(size: int) -> NDArray[np.float64]:
    """Pixel-centre coordinates to [-1, 1] on pixel edges, as a 3x3 matrix."""
    return np.array([[2 / size, 0, 1 / size - 1], [0, 2 / size, 1 / size - 1], [0, 0, 1]])


def _quarter(mask: NDArray[np.float32]) -> NDArray[np.float32]:
    side = mask.shape[0] // 4
    return np.asarray(cv2.resize(mask, (side, side), interpolation=cv2.INTER_AREA), np.float32)
