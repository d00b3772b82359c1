"""Frames with eyes that people call broken: pixels about them that the source picture does not have.

Means hide such frames: an iris smeared over a closed lid in one frame of fifty moves no distance, and landmark networks
find lids there all the same. A renderer that moves a face makes its eyes of what the source shows about them: skin,
lashes, white, iris. Rings, streaks and smears are made of nothing that is there. So each small patch about the eyes is
looked for among all patches about the source's eyes, and how far the worst of them are off is the frame's score. No
network is asked, neither the one that rendered nor the one that found the face, but for where the eyes are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from visavis.face.mesh import EYES_APART, LEFT_EYE, RIGHT_EYE
from visavis.media.frame import Pixels

Array = NDArray[np.float32]

_EYES = (RIGHT_EYE, LEFT_EYE)
#: Side of an eye's crop in distances of the eyes' outer corners, and how much more of the source is searched.
_SHARE, _MORE = 0.62, 1.5
_SIDE = 32
_PATCH = 7
_WORST_SHARE = 20  # the worst twentieth of the patches is what is seen
#: How much more foreign than the clip's usual frame a frame is that counts as broken; colours in [0, 1].
EXCESS = 0.02


@dataclass(frozen=True)
class Place:
    """Where a crop lies: ``matrix [2, 3]`` takes pixels of the picture (from edges) to those of the crop."""

    matrix: NDArray[np.float64]
    side: int

    def cut(self, picture: Pixels) -> Pixels:
        """The crop ``uint8 [side, side, 3]``."""
        matrix = self.matrix.copy()
        # Pixel centres lie half a pixel inside the edges that points are measured from.
        matrix[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5
        size = (self.side, self.side)
        cut = cv2.warpAffine(picture, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(cut, np.uint8)

    def of(self, points: Array) -> Array:
        """Points ``[N, 2]`` of the picture in pixels of the crop."""
        return np.asarray(points @ self.matrix[:, :2].T + self.matrix[:, 2], np.float32)


def eye_place(mesh: Array, eye: int, more: float = 1.0) -> Place:
    """Upright crop about an eye, as wide as the face is large; left eyes are mirrored, so that both look alike.

    Args:
        mesh: ``float32 [478, 2 or 3]`` in pixels of the picture.
        eye: 0 the right one, 1 the left.
        more: how many times as much is shown, at the same scale.
    """
    points = mesh[list(_EYES[eye]), :2].astype(np.float64)
    centre = (points.min(0) + points.max(0)) / 2
    across = (mesh[EYES_APART[1], :2] - mesh[EYES_APART[0], :2]).astype(np.float64)
    distance = max(float(np.linalg.norm(across)), 1e-3)
    cos, sin = across / distance
    turn = np.array([[cos, sin], [-sin, cos]]) * (_SIDE / (_SHARE * distance))
    if eye == 1:
        turn = np.array([[-1, 0], [0, 1]]) @ turn
    side = round(_SIDE * more)
    return Place(np.concatenate([turn, (side / 2 - turn @ centre)[:, None]], 1), side)


class SourceEyes:
    """What the source shows about its eyes.

    Args:
        picture: the source ``uint8 [S, S, 3]`` RGB.
        mesh: ``float32 [478, 3]`` in its pixels.
    """

    def __init__(self, picture: Pixels, mesh: Array) -> None:
        self._known = torch.cat([_patches(eye_place(mesh, eye, _MORE).cut(picture)) for eye in (0, 1)])
        self._lengths = self._known.square().sum(1)

    def foreign(self, picture: Pixels, mesh: Array) -> float:
        """How far the eyes of a rendered picture are from anything about the source's: the worse eye's.

        Returns:
            Root mean square difference of colours in [0, 1] to the nearest patch, mean over the worst twentieth.
        """
        return max(self._eye(eye_place(mesh, eye).cut(picture)) for eye in (0, 1))

    def _eye(self, crop: Pixels) -> float:
        seen = _patches(crop)[::2]
        with torch.inference_mode():
            squared = seen.square().sum(1)[:, None] + self._lengths - 2 * seen @ self._known.T
            nearest = (squared.amin(1).clamp_min(0) / seen.shape[1]).sqrt()
            return float(nearest.topk(max(len(nearest) // _WORST_SHARE, 1)).values.mean())


def _patches(crop: Pixels) -> Tensor:
    """All patches of a crop, ``float [N, 3 * 7 * 7]``."""
    tensor = torch.from_numpy(crop.astype(np.float32) / 255).permute(2, 0, 1)[None]
    return F.unfold(tensor, _PATCH)[0].T.contiguous()


def excess(scores: Sequence[float]) -> list[float]:
    """By how much each frame of a clip is more foreign than its usual frame; from :data:`EXCESS` on it is broken."""
    usual = float(np.median(scores)) if scores else 0.0
    return [score - usual for score in scores]
