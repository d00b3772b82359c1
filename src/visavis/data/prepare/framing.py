"""The square of a clip: where the face is, looked at here and there, and where it is after a cut."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from visavis.core.closing import Closing
from visavis.core.errors import DataError
from visavis.data.sources import ClipTask
from visavis.data.voxceleb import TRACK_FPS, BoxTrack

if TYPE_CHECKING:
    from visavis.face.align import Crop
    from visavis.face.tracker import FaceTracker
    from visavis.face.types import Face
    from visavis.media.frame import Frame, Pixels
    from visavis.media.reader import MediaInfo

_LOOKS = 40
_LOOK_S = 10
_LOOK_EVERY_S, _LATE_EVERY_S = Fraction(1, 5), Fraction(1)
_LATE_S = 1
_SIZE_CUT = 1.4
_AROUND_BOX = 1.6
_LOOK_SIZE = 320


@dataclass(frozen=True)
class Framing:
    """What is taken of a clip.

    Attributes:
        crop: the square, up to the first cut.
        start: seconds in the video at which the face is first seen, or the clip's start where that is about the same.
    """

    crop: Crop
    start: Fraction


def choose_framing(task: ClipTask, info: MediaInfo, track: BoxTrack | None) -> Framing:
    """Return the square that suits the first ten seconds with a face, however late they are, and where they begin.

    Raises:
        DataError: no face is found, or none where the boxes are.
    """
    from visavis.face.align import crop_for

    if track is not None:
        return Framing(crop_for(_faces_in_boxes(task, info, track), info.height, info.width, crop=True), task.start)
    found = list(_first_faces(task))
    if not found:
        which = f"face number {task.face} was not found; 0 is the largest" if task.face else "no face was found"
        raise DataError(f"{task.path}: {which} in the clip ({info.width}x{info.height}); if there is one, crop to it")
    begin = found[0][0]
    start = begin if begin - task.start > _LATE_S else task.start
    return Framing(crop_for([face for _, face in found], info.height, info.width), start)


class MovingSquare(Closing):
    """The square of a clip, which goes after a face that a cut has put elsewhere.

    Args:
        crop: where it begins.
        which: the face to look for, 0 for the largest; None never moves the square.

    Attributes:
        crop: where it is.
    """

    def __init__(self, crop: Crop, which: int | None) -> None:
        from visavis.face.tracker import FaceTracker

        self.crop = crop
        self._tracker = None if which is None else FaceTracker(which)

    def close(self) -> None:
        """Free the tracker."""
        if self._tracker is not None:
            self._tracker.close()

    def elsewhere(self, pixels: Pixels, size: int) -> Pixels | None:
        """Look in a full frame for a face that the square does not show; move there and cut it.

        Returns:
            ``uint8 [size, size, 3]``, or None, with the square where it was, when no face is outside of it.
        """
        from visavis.face.align import crop_for

        face = None if self._tracker is None else self._tracker.find(pixels)
        if face is None:
            return None
        old, new = self.crop, crop_for([face], *pixels.shape[:2])
        x, y = face.middle
        inside = old.left < x < old.left + old.side and old.top < y < old.top + old.side
        if inside and 1 / _SIZE_CUT < new.side / old.side < _SIZE_CUT:
            return None
        self.crop = new
        return new.cut(pixels, size)


def _first_faces(task: ClipTask) -> Iterator[tuple[Fraction, Face]]:
    """Yield when and where the face is, from the first sight of it on: for ten seconds, and no further than a cut."""
    from visavis.face.tracker import FaceTracker
    from visavis.media.reader import VideoReader

    begin: Fraction | None = None
    due = task.start
    with VideoReader(task.path, start=task.start) as reader, FaceTracker(task.face) as tracker:
        for frame in reader:
            late = frame.time >= (task.start if begin is None else begin) + _LOOK_S
            if (late and begin is not None) or (task.seconds is not None and frame.time >= task.start + task.seconds):
                return
            if frame.time < due:
                continue
            due = frame.time + (_LATE_EVERY_S if late else _LOOK_EVERY_S)
            face = tracker.find(frame.pixels)
            if tracker.jumps:
                return
            if face is not None:
                begin = frame.time if begin is None else begin
                yield frame.time, face


def _looks(task: ClipTask, every_s: Fraction, until_s: Fraction) -> Iterator[Frame]:
    """Frames of a clip, at least ``every_s`` apart."""
    from visavis.media.reader import VideoReader

    due = task.start
    with VideoReader(task.path, start=task.start) as reader:
        for frame in reader:
            if frame.time >= task.start + until_s:
                return
            if frame.time >= due:
                due = frame.time + every_s
                yield frame


def _faces_in_boxes(task: ClipTask, info: MediaInfo, track: BoxTrack) -> list[Face]:
    """Find the face in each box looked at; of the ways in which the boxes can be meant, take the best."""
    from visavis.face.tracker import FaceTracker

    every = max(track.seconds / _LOOKS, Fraction(1, TRACK_FPS))
    meanings = track.in_pixels(info.height, info.width)
    found: list[list[Face]] = [[] for _ in meanings]
    overlaps = [0.0 for _ in meanings]
    with FaceTracker(video=False) as tracker:
        for frame in _looks(task, every, track.seconds):
            number = min(int((frame.time - track.start) * TRACK_FPS), len(track.boxes) - 1)
            for meaning, boxes in enumerate(meanings):
                face = _face_near(tracker, frame, boxes[number])
                if face is not None:
                    found[meaning].append(face)
                    overlaps[meaning] += _overlap(face, boxes[number])
    best = int(np.argmax(overlaps))
    if not found[best]:
        raise DataError(f"{task.path}: no face where {task.boxes} says")
    return found[best]


def _face_near(tracker: FaceTracker, frame: Frame, box: NDArray[np.float64]) -> Face | None:
    """Look for a face in and around a box ``(x, y, width, height)`` only; others in the picture do not count."""
    from visavis.face.align import Crop
    from visavis.face.types import Face

    x, y, width, height = (float(value) for value in box)
    side = _AROUND_BOX * max(width, height)
    rows, columns = frame.pixels.shape[:2]
    if x >= columns or y >= rows or x + width <= 0 or y + height <= 0 or not 8 <= side <= 4 * max(rows, columns):
        return None
    around = Crop(x + (width - side) / 2, y + (height - side) / 2, side)
    seen = tracker.find(around.cut(frame.pixels, _LOOK_SIZE))
    if seen is None:
        return None
    mesh = seen.mesh * np.float32(side / _LOOK_SIZE) + np.array([around.left, around.top, 0], np.float32)
    face = Face(mesh.astype(np.float32))
    return face if _overlap(face, box) > 0 else None


def _overlap(face: Face, box: NDArray[np.float64]) -> float:
    """Share of area that a face's box and a given box have in common, 0 to 1."""
    left, top, right, bottom = face.box
    x, y, width, height = (float(value) for value in box)
    across = max(0.0, min(right, x + width) - max(left, x))
    down = max(0.0, min(bottom, y + height) - max(top, y))
    joined = (right - left) * (bottom - top) + width * height - across * down
    return across * down / joined if joined > 0 else 0.0
