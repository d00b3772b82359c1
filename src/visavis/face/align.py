"""The square crop that generators work on, and the way back into the full frame.

Calibrated on FOMM-style training clips: there the mesh is half as high as the crop, its middle 3 % of
the side below the crop's middle, so that hair and shoulders are in.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.face.types import Face
from visavis.media.frame import Pixels

_FACE_SHARE = 0.5
_BELOW_MIDDLE = 0.03
_CROPPED_ALREADY = (0.38, 0.75)
_MOST_OFF_CENTRE = 0.2
_CUT_FACTOR = 1.6
_FEATHER = 0.10
# Levelling, as shares of the crop's side: how wide differences along the border are averaged, and how far inside
# their correction has faded out. The face in the middle keeps the colours it was made with.
_LEVEL_BLUR = 0.15
_LEVEL_REACH = 0.45
_RIM = 0.03  # softness of what counts as the edge of a part
_LEVEL_SIZE = 64  # corrections are smooth, so that so many samples a side carry them
_ANOTHER_THING = 32.0  # a difference (of 255) from which on something else is there, rather than another tint
_NO_WEIGHT = 3e-4


@dataclass(frozen=True)
class Crop:
    """A square of a frame.

    Attributes:
        left, top, side: in pixels of the full frame, from pixel edges; may reach outside the frame.
    """

    left: float
    top: float
    side: float

    def cut(self, pixels: Pixels, size: int) -> Pixels:
        """Return the square as ``uint8 [size, size, 3]``; what lies outside the frame repeats its edge."""
        if (self.left, self.top, self.side) == (0, 0, size) and pixels.shape[:2] == (size, size):
            return pixels
        scale = size / self.side
        if scale < 0.5:
            # Averaging first: a bilinear warp alone would skip pixels and shimmer. Only what is near is averaged.
            pixels, first_x, first_y = self._near(pixels)
            shrunk = cv2.resize(pixels, None, fx=2 * scale, fy=2 * scale, interpolation=cv2.INTER_AREA)
            fx, fy = shrunk.shape[1] / pixels.shape[1], shrunk.shape[0] / pixels.shape[0]
            pixels, scale_x, scale_y = np.asarray(shrunk, np.uint8), scale / fx, scale / fy
            left, top = (self.left - first_x) * fx, (self.top - first_y) * fy
        else:
            scale_x = scale_y = scale
            left, top = self.left, self.top
        # Pixel centres sit half a pixel inside the edges that the crop is measured from.
        matrix = np.array(
            [
                [scale_x, 0, -scale_x * left + 0.5 * scale_x - 0.5],
                [0, scale_y, -scale_y * top + 0.5 * scale_y - 0.5],
            ]
        )
        cut = cv2.warpAffine(pixels, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(cut, np.uint8)

    def _near(self, pixels: Pixels) -> tuple[Pixels, int, int]:
        """The part of a frame that the square's pixels are made of, and where it begins: left, top."""
        height, width = pixels.shape[:2]
        margin = 4 + math.ceil(0.02 * self.side)
        left, top = (
            min(max(math.floor(edge) - margin, 0), size - 1) for edge, size in ((self.left, width), (self.top, height))
        )
        right, bottom = (
            max(min(math.ceil(edge + self.side) + margin, size), first + 1)
            for edge, size, first in ((self.left, width, left), (self.top, height, top))
        )
        return pixels[top:bottom, left:right], left, top

    def to_crop(self, mesh: NDArray[np.float32]) -> NDArray[np.float32]:
        """Turn ``float32 [N, 3]`` pixels of the full frame into [-1, 1] over the crop; depth gets the same scale."""
        shift = np.array([self.left, self.top, 0], np.float32)
        return ((mesh - shift) * np.float32(2 / self.side) - np.array([1, 1, 0], np.float32)).astype(np.float32)

    def paste(self, full: Pixels, picture: Pixels, part: NDArray[np.float32] | None = None) -> Pixels:
        """Lay a crop's new picture ``uint8 [s, s, 3]`` over a frame, which stays; see :class:`Pasting`."""
        return Pasting(self, full, picture.shape[0], part).over(picture)

    def mask(self, size: int, frame: tuple[int, int], reach: float = _FEATHER) -> NDArray[np.float32]:
        """Soft mask of the crop, rising from 0 at its edge to 1 at the share ``reach`` of its side inside.

        A side that touches the frame's edge stays full there, since nothing is beyond.
        """
        height, width = frame
        inside = np.arange(size, dtype=np.float32) + 0.5
        fade = reach * size

        def ramp(first_free: bool, last_free: bool) -> NDArray[np.float32]:
            rise = np.ones(size, np.float32) if first_free else np.clip(inside / fade, 0, 1)
            fall = np.ones(size, np.float32) if last_free else np.clip((size - inside) / fade, 0, 1)
            return np.asarray(np.minimum(rise, fall), np.float32)

        across = ramp(self.left <= 0.5, self.left + self.side >= width - 0.5)
        down = ramp(self.top <= 0.5, self.top + self.side >= height - 0.5)
        linear = np.minimum(across[None], down[:, None])
        return np.asarray(linear * linear * (3 - 2 * linear), np.float32)

    def following(self, face: Face) -> Crop:
        """Shift just enough that the face's box stays inside the square."""
        left, top, right, bottom = face.box
        shift_x = min(left - self.left, 0) + max(right - self.left - self.side, 0)
        shift_y = min(top - self.top, 0) + max(bottom - self.top - self.side, 0)
        return replace(self, left=self.left + shift_x, top=self.top + shift_y)

    def carried(self, before: Face, after: Face) -> Crop:
        """The square that lies to ``after`` as this one lies to ``before``, in place and size."""
        factor = after.extent / max(before.extent, 1e-6)
        (old_x, old_y), (new_x, new_y) = before.middle, after.middle
        return Crop(new_x - factor * (old_x - self.left), new_y - factor * (old_y - self.top), factor * self.side)


class Pasting:
    """Lays new pictures of a crop over one frame, each over the frame as it was.

    A picture fades out towards the crop's edge, and its colour is levelled to what the frame has along that edge, so
    that neither a line nor a patch of another tint shows where it lies. Beyond the crop the frame stays as it is.
    What depends on the frame alone is computed once.

    Args:
        crop: where.
        full: the frame ``uint8 [H, W, 3]``.
        size: side of the pictures.
        part: ``float32 [s, s]``, 0 to 1: how much of the pictures is laid where; None all of it. Where it is 0, the
            frame stays as it is to the last bit, and colour is levelled along the edge of the part.
    """

    def __init__(self, crop: Crop, full: Pixels, size: int, part: NDArray[np.float32] | None = None) -> None:
        height, width = full.shape[:2]
        left, top = max(int(np.floor(crop.left)), 0), max(int(np.floor(crop.top)), 0)
        right = min(int(np.ceil(crop.left + crop.side)), width)
        bottom = min(int(np.ceil(crop.top + crop.side)), height)
        self._out = full.copy()
        self._here = self._out[top:bottom, left:right]
        self._is_outside = right <= left or bottom <= top
        if self._is_outside:
            return
        scale = crop.side / size
        shift_x, shift_y = crop.left - left + 0.5 * scale - 0.5, crop.top - top + 0.5 * scale - 0.5
        self._matrix = np.array([[scale, 0, shift_x], [0, scale, shift_y]])
        mask = crop.mask(size, (height, width))
        self._old, self._edge = crop.cut(full, size), 1 - mask if part is None else _rim(part)
        self._reach: NDArray[np.float32] | None = None
        if part is None:
            self._reach = 1 - crop.mask(size, (height, width), _LEVEL_REACH)[..., None]
        else:
            mask = mask * part
        warped = cv2.warpAffine(mask, self._matrix, (right - left, bottom - top), flags=cv2.INTER_LINEAR)
        bands = _bands(warped) if part is None else [(slice(None), slice(None))]
        self._bands = [(band, warped[band][..., None], self._here[band].astype(np.float32)) for band in bands]

    def over(self, picture: Pixels) -> Pixels:
        """The frame with a picture ``uint8 [s, s, 3]`` over it; it is changed by the next call."""
        if self._is_outside:
            return self._out
        level = _level(self._old, picture, self._edge)
        if self._reach is not None:
            level *= self._reach
        levelled = np.rint((picture + level).clip(0, 255)).astype(np.uint8)
        extent = self._here.shape[1], self._here.shape[0]
        new = cv2.warpAffine(levelled, self._matrix, extent, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        self._here[:] = new
        for band, mask, old in self._bands:
            self._here[band] = np.rint(old + mask * (new[band].astype(np.float32) - old))
        return self._out


def _bands(mask: NDArray[np.float32]) -> list[tuple[slice, slice]]:
    """Four pieces, disjoint, around the middle in which a mask that falls off towards its borders is 1."""
    height, width = mask.shape
    rows, columns = np.flatnonzero((mask >= 1).any(1)), np.flatnonzero((mask >= 1).any(0))
    if not len(rows):
        return [(slice(0, height), slice(0, width))]
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    inside = slice(top, bottom)
    bands = [(slice(0, top), slice(0, width)), (slice(bottom, height), slice(0, width))]
    bands += [(inside, slice(0, left)), (inside, slice(right, width))]
    return [band for band in bands if mask[band].size]


def _rim(part: NDArray[np.float32]) -> NDArray[np.float32]:
    """Where a part of a crop meets its surroundings: around its soft edge, ``float32 [s, s]``, 0 to 1."""
    width = _RIM * part.shape[0]
    wide = cv2.GaussianBlur(part, (0, 0), width, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(4 * wide * (1 - wide) * (1 - part), np.float32)


def _level(old: Pixels, new: Pixels, weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """What to add to a crop's new picture so that its colour meets the old one's along the fading edge.

    The difference in the fading band is diffused into the crop as a weighted mean under a wide Gaussian. Places that
    differ much count little: there something moved, which is no matter of tint.

    Args:
        old, new: ``uint8 [s, s, 3]``, the frame's crop and what is laid over it.
        weight: ``float32 [s, s]``, where to compare: 1 at the very edge, 0 inside the band.

    Returns:
        ``float32 [s, s, 3]``, zero where nothing is compared.
    """
    size = new.shape[0]
    difference = old.astype(np.float32) - new
    far = np.square(difference).mean(-1) / _ANOTHER_THING**2
    counts = (weight / (1 + far))[..., None]
    both = np.concatenate([counts * difference, counts], -1)
    both = cv2.resize(both, (_LEVEL_SIZE, _LEVEL_SIZE), interpolation=cv2.INTER_AREA)
    both = cv2.GaussianBlur(both, (0, 0), _LEVEL_BLUR * _LEVEL_SIZE, borderType=cv2.BORDER_CONSTANT)
    level = both[..., :3] / (both[..., 3:] + _NO_WEIGHT)
    return np.asarray(cv2.resize(level, (size, size), interpolation=cv2.INTER_LINEAR), np.float32)


def whole(height: int, width: int) -> Crop:
    """The largest centred square of a frame."""
    side = min(height, width)
    return Crop((width - side) / 2, (height - side) / 2, side)


def crop_for(faces: Sequence[Face], height: int, width: int, *, crop: bool | None = None) -> Crop:
    """Choose the square for faces seen in a frame, or through the frames of a video.

    Args:
        faces: at least one, in order of time; their boxes are joined, their median height sets the scale. Only those
            before the first cut count.
        height, width: of the frame.
        crop: True crops always, False takes the largest centred square, None crops unless the frame is such a
            crop already: square, with the face of the usual size in the middle.
    """
    boxes = np.array([face.box for face in before_cut(faces)])
    low, high = boxes[:, :2].min(0), boxes[:, 2:].max(0)
    face_height = float(np.median(boxes[:, 3] - boxes[:, 1]))
    centre = (low + high) / 2
    if crop is False or (crop is None and _is_crop(face_height, centre, height, width)):
        return whole(height, width)
    side = face_height / _FACE_SHARE
    return Crop(float(centre[0] - side / 2), float(centre[1] - side / 2 - _BELOW_MIDDLE * side), float(side))


def before_cut(faces: Sequence[Face]) -> Sequence[Face]:
    """The faces up to the first that lies where the one before cannot have moved to within some tenths of a second."""
    for number, (one, other) in enumerate(pairwise(faces), 1):
        way = math.dist(one.middle, other.middle)
        factor = other.extent / max(one.extent, 1e-6)
        if way > one.side or not 1 / _CUT_FACTOR < factor < _CUT_FACTOR:
            return faces[:number]
    return faces


def _is_crop(face_height: float, centre: NDArray[np.float64], height: int, width: int) -> bool:
    if height != width:
        return False
    off = np.abs(centre / height - 0.5).max()
    return _CROPPED_ALREADY[0] <= face_height / height <= _CROPPED_ALREADY[1] and bool(off <= _MOST_OFF_CENTRE)
