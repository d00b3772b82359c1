"""Clips that live where the network does, for samples of windows: a batch is a draw of indices that is gathered there.

Of each face the visible triangles are kept (``int16`` a pixel); colours, places in a triangle and flows are computed
from them and the vertices when a batch is made.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from visavis.face.raster import rasterise_batch
from visavis.training.data.dataset import fitted, middle_of_lips, region_of
from visavis.training.data.windows import FaceShape, WindowClip, WindowDraw
from visavis.training.task import TensorBatch

_MOST_THREADS = 16
#: Faces that are drawn together: what keeps the memory of it at some hundred MB.
_DRAWN_AT_ONCE = 512


@dataclass(frozen=True)
class WindowPicks(TensorBatch):
    """Which frames a batch holds.

    Attributes:
        references: ``int64 [B, K]``, numbers of frames, counted through all clips.
        driving: ``int64 [B]``, likewise.
        gain: ``float32 [B, 3]``.
        mirrored, heard: ``int64 [B]``, 0 or 1.
    """

    references: Tensor
    driving: Tensor
    gain: Tensor
    mirrored: Tensor
    heard: Tensor


@dataclass(frozen=True)
class WindowBatch(TensorBatch):
    """B samples of one person each.

    Attributes:
        references: ``float32 [B, K, 3, S, S]`` in [0, 1].
        driving: the picture that ends the window, ``float32 [B, 3, S, S]``.
        person: segmentation of the references, ``float32 [B, K, 1, S, S]`` in [0, 1].
        reference_faces: vertices ``float32 [B, K, V, 3]`` in [-1, 1].
        faces: vertices of the window, ``float32 [B, k + 1, V, 3]``, the driving one last.
        reference_index: visible triangles ``int16 [B, K, r, r]``, -1 for none.
        index: the same of the window, ``int16 [B, k + 1, r, r]``.
        sound: features of the driving frame, ``float32 [B, n]``; zeros where there is no sound.
        weight: ``float32 [B, 1, S, S]``: 1, and more around the driving mouth and eyes.
        mouth: ``float32 [B, 2]``, the middle of the driving lips, ``(x, y)`` in [-1, 1].
    """

    references: Tensor
    driving: Tensor
    person: Tensor
    reference_faces: Tensor
    faces: Tensor
    reference_index: Tensor
    index: Tensor
    sound: Tensor
    weight: Tensor
    mouth: Tensor


class Gathered:
    """Frames on a device, and the batches that are gathered from them.

    Args:
        clips: whose frames.
        shape: the face that was fitted to them.
        device: where they are to live.
        size, raster: sides of pictures and of face pictures, in pixels.
        mirrored: whether samples are ever mirrored.
        region_weight: how much more the mouth and the eyes count in the weight map.
        sound: numbers of a frame's sound features.
    """

    def __init__(
        self,
        clips: Sequence[WindowClip],
        shape: FaceShape,
        device: torch.device,
        *,
        size: int,
        raster: int,
        mirrored: bool,
        region_weight: float,
        sound: int,
    ) -> None:
        self.size, self.region_weight, self.device = size, region_weight, device
        frames = [len(clip.pictures) for clip in clips]
        faces = [len(clip.faces) for clip in clips]
        self._starts, self._face_starts = np.cumsum([0, *frames]), np.cumsum([0, *faces])
        self.frames, self.faces, sides = int(self._starts[-1]), int(self._face_starts[-1]), 2 if mirrored else 1

        def room(*of: int, kind: torch.dtype = torch.uint8) -> Tensor:
            return torch.zeros(of, dtype=kind, device=device)

        self._pictures = room(self.frames, size, size, 3)
        self._masks = room(self.frames, *clips[0].segmentation.shape[1:])
        self._sound = room(self.frames, sound, kind=torch.float32)
        self._window = room(self.frames, clips[0].window.shape[1], kind=torch.int64)
        self._vertices = room(sides * self.faces, *clips[0].faces.shape[1:], kind=torch.float32)
        self._regions = room(sides * self.frames, size // 4, size // 4)
        self._mouths = room(sides * self.frames, 2, kind=torch.float32)
        with ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1)) as pool:
            list(pool.map(self._fill, range(len(clips)), clips))
        triangles = torch.from_numpy(shape.triangles).to(device)
        self._index = torch.cat(
            [
                rasterise_batch(part, triangles, raster)[0].short()
                for part in torch.split(self._vertices, _DRAWN_AT_ONCE)
            ]
        )

    def _fill(self, number: int, clip: WindowClip) -> None:
        here = slice(int(self._starts[number]), int(self._starts[number + 1]))
        first = int(self._face_starts[number])
        pictures = clip.pictures
        if pictures.shape[1] != self.size:
            pictures = np.stack([fitted(pixels, self.size) for pixels in pictures])
        self._pictures[here] = torch.from_numpy(pictures).to(self.device)
        self._masks[here] = torch.from_numpy(clip.segmentation).to(self.device)
        self._window[here] = torch.from_numpy(clip.window + first).to(self.device)
        if clip.sound is not None:
            self._sound[here] = torch.from_numpy(clip.sound).to(self.device)
        for side, faces in enumerate((clip.faces, clip.mirrored)):
            if faces is None or side * self.faces >= len(self._vertices):
                continue
            there = slice(first + side * self.faces, first + side * self.faces + len(faces))
            self._vertices[there] = torch.from_numpy(faces).to(self.device)
            own = faces[clip.window[:, -1]]
            shown = slice(here.start + side * self.frames, here.stop + side * self.frames)
            regions = np.stack([np.rint(255 * region_of(points, self.size // 4)).astype(np.uint8) for points in own])
            self._regions[shown] = torch.from_numpy(regions).to(self.device)
            self._mouths[shown] = torch.from_numpy(np.stack([middle_of_lips(points) for points in own])).to(self.device)

    def picks(self, draws: Sequence[WindowDraw]) -> WindowPicks:
        """Where the frames of these samples lie."""
        starts = self._starts[[draw.clip for draw in draws]]
        return WindowPicks(
            torch.from_numpy(starts[:, None] + [draw.references for draw in draws]),
            torch.from_numpy(starts + [draw.driving for draw in draws]),
            torch.from_numpy(np.stack([draw.gain for draw in draws])),
            torch.tensor([int(draw.mirrored) for draw in draws]),
            torch.tensor([int(draw.heard) for draw in draws]),
        )

    @torch.no_grad()
    def gather(self, picks: WindowPicks) -> WindowBatch:
        """Make the batch, on the device."""
        count, references = picks.references.shape
        flip = picks.mirrored.bool()
        both = torch.cat([picks.references, picks.driving[:, None]], 1).flatten()
        flips = flip.repeat_interleave(references + 1)
        gain = (picks.gain / 255).repeat_interleave(references + 1, 0)[:, None, None]
        pictures = _mirrored(self._pictures[both], flips, 2).float().mul_(gain).clamp_(0, 1).permute(0, 3, 1, 2)
        pictures = pictures.reshape(count, references + 1, *pictures.shape[1:])
        sources, behind = picks.references.flatten(), flip.repeat_interleave(references)
        person = _enlarged(_mirrored(self._masks[sources], behind, 2), self.size) / 255
        there = (self.faces * picks.mirrored)[:, None]
        window, own = self._window[picks.driving] + there, self._window[picks.references][..., -1] + there
        shown = picks.driving + self.frames * picks.mirrored
        region = _enlarged(self._regions[shown], self.size)[:, None]
        return WindowBatch(
            references=pictures[:, :references],
            driving=pictures[:, references],
            person=person.reshape(count, references, 1, self.size, self.size),
            reference_faces=self._vertices[own],
            faces=self._vertices[window],
            reference_index=self._index[own],
            index=self._index[window],
            sound=self._sound[picks.driving] * picks.heard[:, None],
            weight=1 + (self.region_weight / 255) * region,
            mouth=self._mouths[shown],
        )


def one_draw(clip: int, reference: int, driving: int) -> WindowDraw:
    """A pair of frames as they are: for measurements and sheets."""
    return WindowDraw(clip, (reference,), driving, np.ones(3, np.float32))


def _mirrored(x: Tensor, flips: Tensor, axis: int) -> Tensor:
    return torch.where(flips.view(-1, *[1] * (x.ndim - 1)), x.flip(axis), x)


def _enlarged(x: Tensor, size: int) -> Tensor:
    """``uint8 [B, h, w]`` to ``float32 [B, size, size]``, bilinear as OpenCV's."""
    return F.interpolate(x.float()[:, None], (size, size), mode="bilinear", align_corners=False)[:, 0]
