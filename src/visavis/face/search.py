"""Small faces: a second look at a picture in overlapping squares, by MediaPipe's full-range face detector.

Faces of a sixteenth of the picture's longer side are often seen at the first, coarsest look; a square half as wide as
the picture is high shows those of a twentieth of its height.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from visavis.face.graph import FaceGraph
from visavis.face.types import Face
from visavis.media.frame import Pixels

_INPUT = 192  # the detector's own
# Neighbouring squares share so much of their side: a face that lies across one's edge is whole in the other, unless it
# is so large that the level above sees it.
_OVERLAP = 0.2
_SEEN_SHARE = 0.1  # of a square's side, in which faces are still found
_SMALLEST_PX = 32
_SURE = 0.5
_SAME_SHARE = 0.3


@dataclass(frozen=True)
class Square:
    """A square of a frame: whole pixels, and it may reach outside.

    Attributes:
        left, top, side: in pixels.
    """

    left: int
    top: int
    side: int

    @staticmethod
    def around(x: float, y: float, side: float) -> Square:
        """The square of about this side whose middle is nearest to ``(x, y)``."""
        whole = max(1, round(side))
        return Square(round(x - whole / 2), round(y - whole / 2), whole)

    @property
    def middle(self) -> tuple[float, float]:
        """``(x, y)``."""
        return self.left + self.side / 2, self.top + self.side / 2

    def cut(self, pixels: Pixels) -> Pixels:
        """The part of it that lies inside the frame, as a view; nothing is resampled."""
        bottom, right = max(self.top + self.side, 0), max(self.left + self.side, 0)
        return pixels[max(self.top, 0) : bottom, max(self.left, 0) : right]

    def out_of(self, face: Face) -> Face:
        """Turn a face found in :meth:`cut` into pixels of the frame."""
        return Face((face.mesh + np.array([max(self.left, 0), max(self.top, 0), 0], np.float32)).astype(np.float32))


class FaceSearch(FaceGraph):
    """Looks everywhere in a picture, from coarse to fine, and stops at the level that shows enough."""

    def _new_graph(self) -> Any:
        from mediapipe.python.solutions.face_detection import FaceDetection

        return FaceDetection(min_detection_confidence=_SURE, model_selection=1)

    def places(self, pixels: Pixels, wanted: int = 1) -> list[Square]:
        """Return squares that fit faces of ``uint8 [H, W, 3]``, the largest first.

        Args:
            wanted: look finer until so many are found.
        """
        found: list[Square] = []
        for side in _levels(*pixels.shape[:2]):
            for place in self._level(pixels, side):
                if not any(_same(place, other) for other in found):
                    found.append(place)
            if len(found) >= wanted:
                break
        return sorted(found, key=lambda place: place.side, reverse=True)

    def _level(self, pixels: Pixels, side: int) -> Iterator[Square]:
        scale = _INPUT / side
        # Averaged once for all squares: the detector's own bilinear shrinking would skip most pixels.
        shrunk = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        height, width = shrunk.shape[:2]
        for top in _starts(height):
            for left in _starts(width):
                part = np.asarray(shrunk[top : top + _INPUT, left : left + _INPUT], np.uint8)
                for x, y, size in self._detect(part):
                    yield Square.around((left + x) / scale, (top + y) / scale, size / scale)

    def _detect(self, pixels: Pixels) -> Iterator[tuple[float, float, float]]:
        """Yield the middle and the side of each face's box in pixels."""
        found = self._process(pixels)
        height, width = pixels.shape[:2]
        for detection in found.detections or []:
            box = detection.location_data.relative_bounding_box
            x, y = (box.xmin + box.width / 2) * width, (box.ymin + box.height / 2) * height
            yield x, y, max(box.width * width, box.height * height)


def _levels(height: int, width: int) -> list[int]:
    """Sides of the squares of each look: one that holds all of the picture, then finer ones."""
    short, long = min(height, width), max(height, width)
    finer = [side for side in (short, short // 2) if side < long and side * _SEEN_SHARE >= _SMALLEST_PX]
    return [long, *finer]


def _starts(length: int) -> list[int]:
    """Where squares of the detector's size begin along a side, so that they cover it with overlap."""
    spare = length - _INPUT
    if spare <= 1:
        return [0]
    count = math.ceil(spare / ((1 - _OVERLAP) * _INPUT)) + 1
    return [round(number * spare / (count - 1)) for number in range(count)]


def _same(one: Square, other: Square) -> bool:
    """Whether two squares mean one face: their middles are near, for the larger of them."""
    (ax, ay), (bx, by) = one.middle, other.middle
    return math.hypot(ax - bx, ay - by) < _SAME_SHARE * max(one.side, other.side)
