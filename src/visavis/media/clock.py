"""Times of frames: exact fractions of a second, never a float rate."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction

from visavis.media.frame import Frame

#: What rounding of stamps may take off a time.
_STAMP_S = Fraction(1, 500)


def at_constant_rate(frames: Iterator[Frame], fps: Fraction) -> Iterator[Frame]:
    """Repeat or drop frames so that they come at ``fps`` from time zero; each keeps the picture shown at its time."""
    shown: Frame | None = None
    number = 0
    for frame in frames:
        while shown is not None and number / fps < frame.time:
            yield replace(shown, time=number / fps)
            number += 1
        shown = frame
    if shown is not None and (number == 0 or number / fps <= shown.time):
        yield replace(shown, time=number / fps)


def nearest_at_constant_rate(frames: Iterable[Frame], fps: Fraction) -> Iterator[Frame]:
    """Repeat or drop frames so that they come at ``fps`` from time zero; at each time the nearest frame is taken.

    Stamps in whole milliseconds, as many files have, thus neither double a frame nor lose one. The last frame stands
    for the times up to its own.
    """
    kept: Frame | None = None
    number = 0
    for frame in frames:
        while kept is not None and 2 * number / fps <= kept.time + frame.time:
            yield replace(kept, time=number / fps)
            number += 1
        kept = frame
    while kept is not None and (number == 0 or number / fps <= kept.time + _STAMP_S):
        yield replace(kept, time=number / fps)
        number += 1


def with_durations(frames: Iterator[Frame], fps: Fraction) -> Iterator[tuple[Frame, Fraction]]:
    """Pair each frame with how long it is shown; the last is shown for one frame of ``fps``."""
    waiting: Frame | None = None
    for frame in frames:
        if waiting is not None:
            yield waiting, frame.time - waiting.time
        waiting = frame
    if waiting is not None:
        yield waiting, 1 / fps
