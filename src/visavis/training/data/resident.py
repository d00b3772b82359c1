"""Clips that live where the network does: a batch is a draw of indices, gathered there, and no thread makes pictures.

What is drawn and what a batch holds are those of :class:`~visavis.training.data.dataset.Pairs`. Pictures are equal to
the last bit or two; priors differ by less than a level of 255, since they are rounded before they are resized.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from visavis.audio.mel import MEL_BANDS, MEL_FRAMES
from visavis.training.data.dataset import Batch, Draw, Pairs, fitted, traits_of
from visavis.training.task import TensorBatch

_MOST_THREADS = 16
#: Share of the free memory that clips may take where nobody asked for it.
_SHARE_OF_FREE = 0.5


@dataclass(frozen=True)
class Picks(TensorBatch):
    """Which frames a batch holds.

    Attributes:
        source, driving: ``int64 [B]``, numbers of frames, counted through all clips.
        gain: ``float32 [B, 3]``.
        mirrored: ``int64 [B]``, 1 in a mirror.
        number: ``int64 [B]``, which pairs of the pool.
    """

    source: Tensor
    driving: Tensor
    gain: Tensor
    mirrored: Tensor
    number: Tensor


def resident_bytes(pairs: Pairs) -> int:
    """Memory that the clips of ``pairs`` take on a device, about."""
    frames, area = sum(len(clip.mesh) for clip in pairs.clips), pairs.size**2
    sides = 2 if pairs.mirrored else 1
    return frames * (3 * area + sides * (area + area // 16) + 64 * 64 + 4 * MEL_BANDS * MEL_FRAMES)


def fits(pairs: Pairs, device: torch.device) -> bool:
    """Whether the clips leave room enough on a GPU; elsewhere they are better made by threads."""
    if device.type != "cuda":
        return False
    return resident_bytes(pairs) < _SHARE_OF_FREE * torch.cuda.mem_get_info(device)[0]


class Resident:
    """Frames on a device, and the batches that are gathered from them.

    Args:
        pairs: which pairs are drawn, and from which clips.
        device: where the clips are to live.
    """

    def __init__(self, pairs: Pairs, device: torch.device) -> None:
        self._pairs = pairs
        lengths = [len(clip.mesh) for clip in pairs.clips]
        self._starts = np.cumsum([0, *lengths])
        self.frames, size, sides = int(self._starts[-1]), pairs.size, 2 if pairs.mirrored else 1

        def room(*shape: int, kind: torch.dtype = torch.uint8) -> Tensor:
            return torch.zeros(shape, dtype=kind, device=device)

        self._pictures = room(self.frames, size, size, 3)
        self._masks = room(self.frames, *pairs.clips[0].segmentation.shape[1:])
        self._mel = room(self.frames, MEL_BANDS, MEL_FRAMES, kind=torch.float32)
        # Of meshes there are two: as they are, then in a mirror.
        self._drawings = room(sides * self.frames, size, size)
        self._regions = room(sides * self.frames, size // 4, size // 4)
        self._mouths = room(sides * self.frames, 2, kind=torch.float32)
        self._values = torch.from_numpy(np.concatenate([*pairs.values, *pairs.mirrored_values])).to(device)
        with ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1)) as pool:
            list(pool.map(self._fill, range(len(lengths))))

    def _fill(self, number: int) -> None:
        pairs, clip = self._pairs, self._pairs.clips[number]
        here = slice(int(self._starts[number]), int(self._starts[number + 1]))
        pictures = clip.pictures
        if pictures.shape[1] != pairs.size:
            pictures = np.stack([fitted(pixels, pairs.size) for pixels in pictures])
        self._pictures[here] = torch.from_numpy(pictures).to(self._pictures.device)
        self._masks[here] = torch.from_numpy(clip.segmentation).to(self._masks.device)
        if clip.mel is not None:
            self._mel[here] = torch.from_numpy(clip.mel).to(self._mel.device)
        for side, values in enumerate((pairs.values, pairs.mirrored_values) if pairs.mirrored else (pairs.values,)):
            there = slice(here.start + side * self.frames, here.stop + side * self.frames)
            found = [traits_of(pairs.model.points(value), pairs.size) for value in values[number]]
            self._drawings[there] = _on(self._drawings, [traits.drawing for traits in found])
            self._regions[there] = _on(self._regions, [_levels(traits.region) for traits in found])
            self._mouths[there] = _on(self._mouths, [traits.mouth for traits in found])

    def picks(self, draws: Sequence[Draw]) -> Picks:
        """Where the frames of these pairs lie."""
        starts = self._starts[[draw.clip for draw in draws]]
        return Picks(
            torch.from_numpy(starts + [draw.source for draw in draws]),
            torch.from_numpy(starts + [draw.driving for draw in draws]),
            torch.from_numpy(np.stack([draw.gain for draw in draws])),
            torch.tensor([int(draw.mirrored) for draw in draws]),
            torch.tensor([draw.number for draw in draws]),
        )

    def gather(self, picks: Picks) -> Batch:
        """Make the batch, on the device."""
        flip = picks.mirrored.bool()
        both = torch.cat([picks.source, picks.driving])
        flips, side = flip.repeat(2), self.frames * picks.mirrored
        shown = both + side.repeat(2)
        gain = (picks.gain / 255).repeat(2, 1)[:, None, None]
        pictures = _mirrored(self._pictures[both], flips, 2).float().mul_(gain).clamp_(0, 1).permute(0, 3, 1, 2)
        priors = torch.stack([self._drawings[shown].float(), self._resized(self._masks[both], flips)], 1).div_(255)
        values, driving = self._values[shown], picks.driving + side
        region = _enlarged(self._regions[driving], self._pairs.size)[:, None]
        count = len(flip)
        return Batch(
            pictures[:count],
            pictures[count:],
            priors[:count],
            priors[count:],
            values[:count],
            values[count:],
            self._mel[picks.driving][:, None],
            1 + (self._pairs.region_weight / 255) * region,
            self._mouths[driving],
            picks.number,
        )

    def _resized(self, masks: Tensor, flips: Tensor) -> Tensor:
        return _enlarged(_mirrored(masks, flips, 2), self._pairs.size)


def _on(like: Tensor, rows: Sequence[NDArray[np.generic]]) -> Tensor:
    return torch.from_numpy(np.stack(rows)).to(like.device)


def _levels(region: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.rint(255 * region).clip(0, 255).astype(np.uint8)


def _mirrored(x: Tensor, flips: Tensor, axis: int) -> Tensor:
    return torch.where(flips.view(-1, *[1] * (x.ndim - 1)), x.flip(axis), x)


def _enlarged(x: Tensor, size: int) -> Tensor:
    """``uint8 [B, h, w]`` to ``float32 [B, size, size]``, bilinear as OpenCV's."""
    return F.interpolate(x.float()[:, None], (size, size), mode="bilinear", align_corners=False)[:, 0]
