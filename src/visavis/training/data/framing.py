"""The one square of a clip: where the face is, looked at here and there through the clip."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from visavis.core.errors import DataError
from visavis.training.data.sources import ClipTask
from visavis.training.data.voxceleb import TRACK_FPS, BoxTrack

if TYPE_CHECKING:
    from visavis.face.align import Crop
    from visavis.face.tracker import FaceTracker
    from visavis.face.types import Face
    from visavis.media.frame import Frame
    from visavis.media.reader import MediaInfo

_LOOKS = 40
_LOOK_S = 10
_AROUND_BOX = 1.6
_LOOK_SIZE = 320


def choose_crop(task: ClipTask, info: MediaInfo, track: BoxTrack | None) -> Crop:
    """Return one square for the whole clip.

    Raises:
        DataError: no face is found, or none where the boxes are.
    """
    from visavis.face.align import crop_for

    if track is not None:
        return crop_for(_faces_in_boxes(task, info, track), info.height, info.width, crop=True)
    faces = _largest_faces(task)
    if not faces:
        raise DataError(f"{task.path}: no face in the first {_LOOK_S} s of the clip")
    return crop_for(faces, info.height, info.width)


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


def _largest_faces(task: ClipTask) -> list[Face]:
    from visavis.face.tracker import FaceTracker

    until = Fraction(_LOOK_S) if task.seconds is None else min(task.seconds, Fraction(_LOOK_S))
    with FaceTracker(video=False) as tracker:
        looks = _looks(task, Fraction(1, 5), until)
        return [face for frame in looks if (face := tracker.find(frame.pixels)) is not None]


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
