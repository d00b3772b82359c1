"""Large pictures and what a call would have made of them: patches for super-resolution, from videos of 512 or more."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from visavis.core.errors import DataError
from visavis.data.pictures import decoder, is_container
from visavis.data.sources import find_clips
from visavis.media.frame import Pixels
from visavis.training.data.damage import soften
from visavis.training.task import TensorBatch

SIDE = 512


@dataclass(frozen=True)
class LargeClip:
    """One clip's pictures ``uint8 [T, 512, 512, 3]``, and whose face."""

    identity: str
    pictures: Pixels


def load_large(folder: Path, split: str, stride: int, *, most: int | None = None) -> list[LargeClip]:
    """Decode every ``stride``-th frame of the split's clips whose shorter side is at least 512.

    Args:
        folder: a data set as for ``visavis prepare``.
        most: clips.

    Raises:
        DataError: no such folder, or no such clip in it.
    """
    found: list[LargeClip] = []
    for task in find_clips(folder).clips:
        if task.split != split or len(found) == most:
            continue
        pictures = _decode(task.path, stride)
        if pictures:
            found.append(LargeClip(task.identity, np.stack(pictures)))
    if not found:
        raise DataError(f"{folder}: no clip of split '{split}' of {SIDE}x{SIDE} pixels or more")
    return found


def _decode(path: Path, stride: int) -> list[Pixels]:
    with path.open("rb") as file:
        if not is_container(file.read(12)):
            return []
    video, pictures, number = decoder(path), [], 0
    while video.grab():
        if number % stride == 0:
            ok, pixels = video.retrieve()
            if not ok or min(pixels.shape[:2]) < SIDE:
                break
            pictures.append(_square(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)))
        number += 1
    video.release()
    return pictures


def _square(pixels: Pixels) -> Pixels:
    """The middle square at 512x512."""
    side = min(pixels.shape[:2])
    top, left = ((length - side) // 2 for length in pixels.shape[:2])
    square = pixels[top : top + side, left : left + side]
    return square if side == SIDE else np.asarray(cv2.resize(square, (SIDE, SIDE), interpolation=cv2.INTER_AREA))


@dataclass(frozen=True)
class PatchBatch(TensorBatch):
    """B patches.

    Attributes:
        small: ``float32 [B, 3, P + 2 reach, P + 2 reach]`` in [0, 1].
        large: its middle at twice the side, ``float32 [B, 3, 2 P, 2 P]``.
    """

    small: Tensor
    large: Tensor


class Patches:
    """Draws batches; batch ``step`` depends on the seed and the step alone.

    Args:
        clips: from :func:`load_large`.
        side: P of the small patches.
        reach: pixels around them.
        softened: share of the small patches that are blurred and coded, as generated pictures are.
    """

    def __init__(self, clips: list[LargeClip], *, side: int, reach: int, softened: float, seed: int = 0) -> None:
        self.clips, self.side, self.reach, self.softened, self.seed = clips, side, reach, softened, seed
        share = np.sqrt([len(clip.pictures) for clip in clips])
        self._share = share / share.sum()

    def batch(self, step: int, count: int) -> PatchBatch:
        """Return batch number ``step`` of ``count`` patches."""
        rng = np.random.default_rng([self.seed, step])
        columns = zip(*[self._draw(rng) for _ in range(count)], strict=True)
        return PatchBatch(*[torch.from_numpy(np.stack(column)) for column in columns])

    def _draw(self, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        clip = self.clips[int(rng.choice(len(self.clips), p=self._share))]
        picture = clip.pictures[int(rng.integers(len(clip.pictures)))]
        framed = self.side + 2 * self.reach
        top, left = (2 * int(at) for at in rng.integers(SIDE // 2 - framed + 1, size=2))
        large = picture[top : top + 2 * framed, left : left + 2 * framed]
        if rng.random() < 0.5:
            large = large[:, ::-1]
        large = np.asarray(large, np.float32) / np.float32(255)
        small = halved(large)
        if rng.random() < self.softened:
            small = soften(small, rng)
        inside = large[2 * self.reach : -2 * self.reach, 2 * self.reach : -2 * self.reach]
        return _planes(small), _planes(inside)


def halved(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean of each 2x2 pixels of ``[H, W, C]``."""
    side = (picture.shape[1] // 2, picture.shape[0] // 2)
    return np.asarray(cv2.resize(picture, side, interpolation=cv2.INTER_AREA), np.float32)


def _planes(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.ascontiguousarray(picture.transpose(2, 0, 1))
