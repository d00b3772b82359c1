"""Training pairs from shards: decoded once into memory, drawn anew for every step from the step's number alone."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from visavis.audio.mel import MEL_BANDS, MEL_FRAMES
from visavis.core.errors import DataError
from visavis.data.pictures import opened
from visavis.data.quality import is_kept
from visavis.data.shards import ClipRecord, read
from visavis.face.mesh import LEFT_BROW, LEFT_EYE, LIPS, RIGHT_BROW, RIGHT_EYE, draw_mesh, to_pixels
from visavis.face.mirror import mirror_mesh
from visavis.face.morphable import LinearFaceModel, learn
from visavis.training.task import TensorBatch

T = TypeVar("T")
_MEL_STEPS_A_FRAME = 4
_REGIONS = (LIPS, LEFT_EYE + LEFT_BROW, RIGHT_EYE + RIGHT_BROW)


@dataclass(frozen=True)
class Clip:
    """One clip in memory.

    Attributes:
        identity: whose face.
        pictures: ``uint8 [T, S, S, 3]``.
        mesh: ``float32 [T, 478, 3]`` in [-1, 1].
        segmentation: ``uint8 [T, 64, 64]``.
        mel: ``float32 [T, 80, 20]`` of each kept frame, or None when the sound is not the speaker's own.
    """

    identity: str
    pictures: NDArray[np.uint8]
    mesh: NDArray[np.float32]
    segmentation: NDArray[np.uint8]
    mel: NDArray[np.float32] | None


def load_clips(folder: Path, split: str, stride: int, *, most: int | None = None, needed: bool = True) -> list[Clip]:
    """Decode every ``stride``-th frame (with a face) of the split's clips that are good enough to train on.

    Args:
        most: stop after so many clips.
        needed: whether it is an error that the split has no clip with two usable frames.
    """
    decoded = decoded_clips(folder, split, lambda record: _decode(record, stride), one_by_one=bool(most))
    usable = list(islice((clip for clip in decoded if len(clip.pictures) >= 2), most))
    if needed and not usable:
        raise DataError(f"{folder}: no clip of split '{split}' with two usable frames")
    return usable


def decoded_clips(folder: Path, split: str, decode: Callable[[ClipRecord], T], *, one_by_one: bool) -> Iterator[T]:
    """Decode the split's clips that are good enough to train on, in order.

    Args:
        decode: makes of a record what is wanted.
        one_by_one: not before the next one is asked for; else some ahead, since OpenCV and zlib let other threads run.
    """
    records = (record for record in read(folder) if record.info["split"] == split and is_kept(record.info))
    workers = 1 if one_by_one else min(16, os.cpu_count() or 1)
    if workers == 1:
        yield from map(decode, records)
        return
    with ThreadPoolExecutor(workers) as pool:
        ahead: deque[Future[T]] = deque()
        for record in records:
            ahead.append(pool.submit(decode, record))
            if len(ahead) > 2 * workers:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def decoded_pictures(
    record: ClipRecord, seen: NDArray[np.bool_], stride: int
) -> tuple[list[NDArray[np.uint8]], list[int]]:
    """Decode every ``stride``-th picture of a clip whose face was seen; returns them and their numbers."""
    pictures, kept = [], []
    with opened(record.name, record.video) as video:
        for index in range(len(seen)):
            if not video.grab():
                break
            if index % stride or not seen[index]:
                continue
            pixels = video.retrieve()
            if pixels is not None:
                pictures.append(pixels)
                kept.append(index)
    return pictures, kept


def _decode(record: ClipRecord, stride: int) -> Clip:
    priors = record.decoded()
    pictures, kept = decoded_pictures(record, priors.seen, stride)
    mel = None
    if priors.mel is not None and record.info.get("sound_is_speech"):
        starts = [_MEL_STEPS_A_FRAME * index for index in kept]
        mel = np.stack([priors.mel[:, at : at + MEL_FRAMES] for at in starts]) if starts else None
    return Clip(
        str(record.info["identity"]),
        np.stack(pictures) if pictures else np.zeros((0, 1, 1, 3), np.uint8),
        priors.mesh[kept],
        priors.segmentation[kept],
        mel,
    )


def learn_face_model(clips: list[Clip], size: int, meshes: int = 4000) -> LinearFaceModel:
    """Learn the linear face model from meshes spread evenly over the clips."""
    per_clip = max(1, meshes // len(clips))
    picked = [
        clip.mesh[np.linspace(0, len(clip.mesh) - 1, min(per_clip, len(clip.mesh))).astype(int)] for clip in clips
    ]
    return learn(np.concatenate(picked), size)


@dataclass(frozen=True)
class Batch(TensorBatch):
    """B training pairs of one person each.

    Attributes:
        source, driving: ``float32 [B, 3, S, S]`` in [0, 1].
        source_prior, driving_prior: ``float32 [B, 2, S, S]``: mesh drawing and segmentation.
        source_mesh, driving_mesh: mesh values ``float32 [B, 6 + n]``.
        mel: ``float32 [B, 1, 80, 20]``; zeros where there is no sound.
        weight: ``float32 [B, 1, S, S]``: 1, and more around the driving mouth and eyes.
        mouth: ``float32 [B, 2]``, the middle of the driving lips, ``(x, y)`` in [-1, 1].
        number: ``int64 [B]``, which pair of the pool it is; -1 for pairs that are drawn once.
    """

    source: Tensor
    driving: Tensor
    source_prior: Tensor
    driving_prior: Tensor
    source_mesh: Tensor
    driving_mesh: Tensor
    mel: Tensor
    weight: Tensor
    mouth: Tensor
    number: Tensor


@dataclass(frozen=True)
class Draw:
    """Which pair a row of a batch is.

    Attributes:
        clip: number of the clip.
        source, driving: numbers of its frames.
        gain: ``float32 [3]``, factor of each colour of both pictures.
        mirrored: whether both are seen in a mirror.
        number: which pair of the pool it is; -1 without one.
    """

    clip: int
    source: int
    driving: int
    gain: NDArray[np.float32]
    mirrored: bool = False
    number: int = -1


@dataclass(frozen=True)
class Traits:
    """What is drawn from a mesh, or computed from it.

    Attributes:
        drawing: ``uint8 [S, S]``.
        region: ``float32 [S/4, S/4]`` in [0, 1]: where mouth and eyes are, softly.
        mouth: ``float32 [2]``, the middle of the lips in [-1, 1].
    """

    drawing: NDArray[np.uint8]
    region: NDArray[np.float32]
    mouth: NDArray[np.float32]


class Pairs:
    """Draws batches: any frame of a clip drives any other of the same clip.

    Batch ``step`` depends on the seed and the step alone, so a run that resumes sees what it would have seen.

    Args:
        clips: from :func:`load_clips`.
        model: linear face model that codes the meshes.
        size: side of the pictures.
        region_weight: how much more the mouth and the eyes count in the weight map.
        far_share: how often the source is the one of several candidates that differs most in mesh.
        jitter: strength of the colour transforms, 0 for none.
        mirrored: how often a pair is seen in a mirror, its meshes fitted anew.
        pool: how many different pairs there are in all; 0 draws new ones for ever.
        drivings: how many pairs of the pool share a source.
    """

    def __init__(
        self,
        clips: list[Clip],
        model: LinearFaceModel,
        *,
        size: int,
        seed: int = 0,
        region_weight: float = 2.0,
        far_share: float = 0.5,
        jitter: float = 0.1,
        mirrored: float = 0.0,
        pool: int = 0,
        drivings: int = 1,
    ) -> None:
        self.pool, self.drivings = pool, drivings
        self.clips, self.model, self.size, self.seed = clips, model, size, seed
        self.region_weight, self.far_share, self.jitter, self.mirrored = region_weight, far_share, jitter, mirrored
        #: Mesh values ``float32 [T, 6 + n]`` of each clip, and of each clip in a mirror if pairs are ever mirrored.
        self.values = [model.fit_all(clip.mesh) for clip in clips]
        self.mirrored_values = [model.fit_all(mirror_mesh(clip.mesh)) for clip in clips] if mirrored else []
        # The square root keeps long clips of few people from crowding out the rest.
        share = np.sqrt([len(clip.pictures) for clip in clips])
        self._share = share / share.sum()

    def batch(self, step: int, count: int) -> Batch:
        """Return batch number ``step`` of ``count`` pairs."""
        return self.made(self.draws(step, count))

    def draws(self, step: int, count: int) -> list[Draw]:
        """Return what batch number ``step`` of ``count`` pairs holds, without making it."""
        rng = np.random.default_rng([self.seed, step])
        if self.pool:
            return [self.pooled(int(number)) for number in rng.integers(self.pool, size=count)]
        return [self._draw(rng) for _ in range(count)]

    def pooled(self, number: int) -> Draw:
        """Pair `number` of the pool."""
        of_source = np.random.default_rng([self.seed, 0, number // self.drivings])
        draw = self._draw(of_source)
        rng, meshes = np.random.default_rng([self.seed, 1, number]), self.clips[draw.clip].mesh
        candidates = rng.integers(len(meshes), size=4 if rng.random() < self.far_share else 1)
        far = np.abs(meshes[candidates, :, :2] - meshes[draw.source, :, :2]).mean((1, 2))
        return replace(draw, driving=int(candidates[np.argmax(far)]), number=number)

    def made(self, draws: Iterable[Draw]) -> Batch:
        """Make the batch of these pairs."""
        rows = [self._pair(draw) for draw in draws]
        return Batch(*[torch.from_numpy(np.stack(column)) for column in zip(*rows, strict=True)])

    def _draw(self, rng: np.random.Generator) -> Draw:
        index = int(rng.choice(len(self.clips), p=self._share))
        clip = self.clips[index]
        driving = int(rng.integers(len(clip.mesh)))
        candidates = rng.integers(len(clip.mesh), size=4)
        source = int(candidates[0])
        if rng.random() < self.far_share:
            far = np.abs(clip.mesh[candidates, :, :2] - clip.mesh[driving, :, :2]).mean((1, 2))
            source = int(candidates[np.argmax(far)])
        gain = 1 + self.jitter * rng.uniform(-1, 1, 3).astype(np.float32) * (1, 0.3, 0.3)
        gain = (gain[0] * np.array([gain[1], 1, gain[2]])).astype(np.float32)
        return Draw(index, source, driving, gain, bool(self.mirrored) and bool(rng.random() < self.mirrored))

    def _pair(self, draw: Draw) -> tuple[NDArray[Any], ...]:
        clip = self.clips[draw.clip]
        source_picture, source_prior, source_value, _ = self._frame(draw, draw.source)
        driving_picture, driving_prior, driving_value, traits = self._frame(draw, draw.driving)
        mel = np.zeros((MEL_BANDS, MEL_FRAMES), np.float32) if clip.mel is None else clip.mel[draw.driving]
        full = cv2.resize(traits.region, (self.size, self.size), interpolation=cv2.INTER_LINEAR)
        return (
            source_picture,
            driving_picture,
            source_prior,
            driving_prior,
            source_value,
            driving_value,
            mel[None].astype(np.float32),
            (1 + self.region_weight * full[None]).astype(np.float32),
            traits.mouth,
            np.asarray(draw.number),
        )

    def _frame(
        self, draw: Draw, index: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], Traits]:
        clip = self.clips[draw.clip]
        value = (self.mirrored_values if draw.mirrored else self.values)[draw.clip][index]
        way = -1 if draw.mirrored else 1
        pixels = fitted(clip.pictures[index], self.size)[:, ::way]
        picture = np.clip(pixels.astype(np.float32) * (draw.gain / 255), 0, 1).transpose(2, 0, 1)
        traits = traits_of(self.model.points(value), self.size)
        mask = cv2.resize(clip.segmentation[index], (self.size, self.size), interpolation=cv2.INTER_LINEAR)[:, ::way]
        prior = np.stack([traits.drawing, mask]).astype(np.float32) / 255
        return np.ascontiguousarray(picture), prior, value, traits


def fitted(pixels: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """A picture ``uint8 [S, S, 3]`` at the size of the network."""
    if pixels.shape[0] == size:
        return pixels
    return np.asarray(cv2.resize(pixels, (size, size), interpolation=cv2.INTER_AREA), np.uint8)


def traits_of(points: NDArray[np.float32], size: int) -> Traits:
    """What a batch needs of a mesh ``float32 [478, 3]`` in [-1, 1], for pictures of ``size``."""
    return Traits(draw_mesh(points, size), region_of(points, size // 4), middle_of_lips(points))


def region_of(points: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Where mouth and eyes of a mesh are, softly: ``float32 [side, side]`` in [0, 1]."""
    region = np.zeros((side, side), np.float32)
    for indices in _REGIONS:
        hull = cv2.convexHull(np.rint(to_pixels(points[list(indices)], side)).astype(np.int32))
        cv2.fillConvexPoly(region, hull, 1.0)
    soft = cv2.GaussianBlur(cv2.dilate(region, np.ones((3, 3))), (0, 0), 1.0)
    return np.asarray(soft, np.float32)


def middle_of_lips(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Middle of a mesh's lips, ``float32 [2]`` in [-1, 1]."""
    lips = points[list(LIPS), :2]
    return np.asarray((lips.min(0) + lips.max(0)) / 2, np.float32)
