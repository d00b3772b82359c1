"""Where in a clip to look at movement: where the mouth opens and closes most, with a blink if there is one.

The middle of a clip may well be a pause, and a pause says nothing about a mouth.
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from visavis.evaluation.metrics.opening import lid_opening, mouth_opening
from visavis.face.tracker import FaceTracker
from visavis.media.reader import VideoReader

_EVERY = 2  # a blink lasts four frames or more
_SEARCH_S = 60
_LIDS_WEIGHT = 0.5

Track = NDArray[np.float64]


def choose_window(path: Path, seconds: float) -> range:
    """Numbers of the consecutive frames of a clip that are measured for what moves.

    Args:
        path: the clip; its first minute is searched.
        seconds: length of the window; a shorter clip gives all frames but its first with a face. 0 chooses nothing.
    """
    if seconds <= 0:
        return range(0)
    with VideoReader(path) as reader, FaceTracker() as tracker:
        fps = reader.info.fps
        tracks, frames = [], 0
        for number, frame in enumerate(islice(reader, round(_SEARCH_S * fps))):
            frames = number + 1
            if number % _EVERY == 0:
                face = tracker.find(frame.pixels)
                tracks.append((np.nan, np.nan) if face is None else _openings(face.mesh))
    found = np.array(tracks, np.float64).reshape(-1, 2)
    faces = np.flatnonzero(~np.isnan(found[:, 0]))
    first = _EVERY * int(faces[0]) + 1 if len(faces) else 1
    length = max(min(round(seconds * fps), frames - first), 0)
    steps = max(length // _EVERY, 1)
    # Sample k is frame 2 k; a window begins at a sample and so ends inside the clip.
    starts = range(-(-first // _EVERY), max((frames - length) // _EVERY, 0) + 1)
    best = liveliest(found[:, 0], found[:, 1], starts, steps)
    start = min(max(_EVERY * best, first), frames - length) if best is not None else first
    return range(start, start + length)


def liveliest(mouth: Track, lids: Track, starts: range, length: int) -> int | None:
    """Where the mouth's range is largest, and half as much the lids'; of equals the one nearest the middle.

    Args:
        mouth, lids: openings ``float64 [T]``; NaN where no face was found.
        starts: where a window may begin.
        length: of the window, in samples.

    Returns:
        The start, or None when every window misses a face somewhere.
    """
    whole = [start for start in starts if not np.isnan(mouth[start : start + length]).any()]
    if not whole:
        return None
    ranges = np.array([[np.ptp(track[start : start + length]) for track in (mouth, lids)] for start in whole])
    shares = ranges / np.maximum(ranges.max(0), 1e-9)
    score = shares @ (1, _LIDS_WEIGHT)
    middle = (starts[0] + starts[-1]) / 2
    return max(zip(score.round(6), whole, strict=True), key=lambda one: (one[0], -abs(one[1] - middle)))[1]


def _openings(mesh: NDArray[np.float32]) -> tuple[float, float]:
    return mouth_opening(mesh), float(np.mean(lid_opening(mesh)))
