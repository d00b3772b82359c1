"""Mouths and their sound from shards: every frame of the clips whose sound is the speaker's own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from visavis.audio.mel import MEL_FRAMES
from visavis.core.errors import DataError
from visavis.data.pictures import opened
from visavis.data.shards import ClipRecord, read
from visavis.face.mouth import CROP_MARGIN, CROP_SIZE, mirrored, mouth_crop, mouth_shape
from visavis.training.task import TensorBatch

_MEL_STEPS_A_FRAME = 4


@dataclass(frozen=True)
class MouthClip:
    """One speaking mouth at 25 fps, every frame of it seen.

    Attributes:
        identity: whose it is.
        crops: ``uint8 [T, 38, 54]``, grey, with the margin that shifts need.
        shapes: ``float32 [T, SHAPE_VALUES]``.
        mel: ``float32 [80, 4 T + 16]`` in [0, 1]; the window of frame k is ``[:, 4 k : 4 k + 20]``.
    """

    identity: str
    crops: NDArray[np.uint8]
    shapes: NDArray[np.float32]
    mel: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.crops)


def load_mouths(folder: Path, split: str, shortest: int) -> list[MouthClip]:
    """Decode the mouths of the split's clips of ``shortest`` frames or more whose sound is the speaker's own."""
    clips = [
        clip
        for record in read(folder)
        if record.info["split"] == split
        and record.info.get("sound_is_speech")
        and (clip := _decode(record)) is not None
        and len(clip) >= shortest
    ]
    if not clips:
        raise DataError(f"{folder}: no clip of split '{split}' with its speaker's sound and {shortest} frames")
    return clips


def _decode(record: ClipRecord) -> MouthClip | None:
    priors = record.decoded()
    if priors.mel is None:
        return None
    first, last = _longest_run(priors.seen)
    crops, shapes = [], []
    with opened(record.name, record.video) as video:
        for index, mesh in enumerate(priors.mesh[:last]):
            if not video.grab():
                break
            if index < first:
                continue
            pixels = video.retrieve()
            if pixels is None:
                break
            points = (mesh + 1) * (pixels.shape[1] / 2)
            crops.append(mouth_crop(pixels, points, CROP_MARGIN))
            shapes.append(mouth_shape(points))
    if not crops:
        return None
    mel = priors.mel[:, mel_steps(first, len(crops))]
    return MouthClip(str(record.info["identity"]), np.stack(crops), np.stack(shapes), mel)


def _longest_run(seen: NDArray[np.bool_]) -> tuple[int, int]:
    """First frame, and the one after the last, of the longest stretch in which the face is never lost."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], seen, [False]]).astype(np.int8)))
    starts, ends = edges[::2], edges[1::2]
    if not len(starts):
        return 0, 0
    longest = int(np.argmax(ends - starts))
    return int(starts[longest]), int(ends[longest])


def mel_steps(first: int, count: int) -> slice:
    """The columns of a clip's mel that ``count`` frames from ``first`` on hear."""
    return slice(_MEL_STEPS_A_FRAME * first, _MEL_STEPS_A_FRAME * (first + count - 1) + MEL_FRAMES)


@dataclass(frozen=True)
class MouthBatch(TensorBatch):
    """B stretches of speech.

    Attributes:
        crops: ``float32 [B, T, 32, 48]``, grey in [0, 1].
        shapes: ``float32 [B, T, SHAPE_VALUES]``.
        mel: ``float32 [B, 80, 4 T + 16]`` in [0, 1].
        keep: ``float32 [B, 2]``: 0 hides a stretch's pictures or shapes.
    """

    crops: Tensor
    shapes: Tensor
    mel: Tensor
    keep: Tensor


def still_batch(clip: MouthClip) -> MouthBatch:
    """A whole clip as it is, as a batch of one."""
    crops = clip.crops[:, CROP_MARGIN:-CROP_MARGIN, CROP_MARGIN:-CROP_MARGIN].astype(np.float32) / 255
    parts = (crops, clip.shapes, clip.mel, np.ones(2, np.float32))
    return MouthBatch(*[torch.from_numpy(part)[None] for part in parts])


class Mouths:
    """Draws stretches of speech, each changed in looks and sound but not in time.

    Batch ``step`` depends on the seed and the step alone.

    Args:
        clips: from :func:`load_mouths`.
        frames: T, frames of a stretch.
        hidden: how often the pictures, and how often the shapes, of a stretch are hidden; each must learn to do alone.
    """

    def __init__(self, clips: list[MouthClip], *, frames: int, seed: int = 0, hidden: float = 0.2) -> None:
        self.clips, self.frames, self.seed, self.hidden = clips, frames, seed, hidden
        # The square root keeps people with many long clips from crowding out the rest.
        lengths: dict[str, int] = {}
        for clip in clips:
            lengths[clip.identity] = lengths.get(clip.identity, 0) + len(clip)
        share = np.array([len(clip) / np.sqrt(lengths[clip.identity]) for clip in clips])
        self._share = share / share.sum()

    def batch(self, step: int, count: int) -> MouthBatch:
        """Return batch number ``step`` of ``count`` stretches."""
        rng = np.random.default_rng([self.seed, step])
        rows = [self._stretch(rng) for _ in range(count)]
        return MouthBatch(*[torch.from_numpy(np.stack(column)) for column in zip(*rows, strict=True)])

    def _stretch(self, rng: np.random.Generator) -> tuple[NDArray[np.float32], ...]:
        clip = self.clips[int(rng.choice(len(self.clips), p=self._share))]
        first = int(rng.integers(len(clip) - self.frames + 1))
        frames = slice(first, first + self.frames)
        flip = bool(rng.random() < 0.5)
        keep = np.ones(2, np.float32)
        if rng.random() < 2 * self.hidden:
            keep[int(rng.integers(2))] = 0
        return (
            _vary_crops(clip.crops[frames], flip, rng),
            _vary_shapes(clip.shapes[frames], flip, rng),
            _vary_mel(clip.mel[:, mel_steps(first, self.frames)], rng),
            keep,
        )


def _vary_crops(crops: NDArray[np.uint8], flip: bool, rng: np.random.Generator) -> NDArray[np.float32]:
    """Shift, zoom, tilt, mirror and relight a stretch as a whole, then add noise."""
    height, width = CROP_SIZE
    middle = (crops.shape[2] / 2, crops.shape[1] / 2)
    matrix = cv2.getRotationMatrix2D(middle, rng.uniform(-6, 6), rng.uniform(0.88, 1.15))
    matrix[:, 2] += rng.uniform(-2, 2, 2) - CROP_MARGIN
    moved = np.stack([cv2.warpAffine(crop, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE) for crop in crops])
    light = (np.linspace(0, 1, 256) ** rng.uniform(0.6, 1.6)).astype(np.float32)[moved[:, :, ::-1] if flip else moved]
    return light + np.float32(rng.uniform(0, 0.03)) * rng.standard_normal(light.shape, np.float32)


def _vary_shapes(shapes: NDArray[np.float32], flip: bool, rng: np.random.Generator) -> NDArray[np.float32]:
    angle = rng.uniform(-0.08, 0.08)
    turn = rng.uniform(0.85, 1.18) * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    level = mirrored(shapes) if flip else shapes
    points = level.reshape(len(shapes), -1, 2) @ turn.astype(np.float32)
    points = points + np.float32(rng.uniform(0, 0.01)) * rng.standard_normal(points.shape, np.float32)
    return np.asarray(points.reshape(shapes.shape), np.float32)


def _vary_mel(mel: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Another voice and microphone: bands shifted, louder or softer, noisier, one stretch of bands lost."""
    shift = int(rng.integers(-3, 4))
    bands = np.clip(np.arange(len(mel)) + shift, 0, len(mel) - 1)
    varied = mel[bands] + np.float32(rng.uniform(-0.08, 0.08))
    varied = varied + np.float32(rng.uniform(0, 0.03)) * rng.standard_normal(mel.shape, np.float32)
    first, count = int(rng.integers(len(mel))), int(rng.integers(0, 13))
    varied[first : first + count] = varied.mean()
    return np.asarray(np.clip(varied, 0, 1), np.float32)
