"""Times of frames: exact fractions of a second, never a float rate."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

from visavis.media.frame import Frame


def at_constant_rate(frames: Iterator[Frame], fps: Fraction) -> Iterator[Frame]:
    """Repeat or drop frames so that they come at ``fps`` from time zero.

    Each time gets the picture shown then, or the one that comes within half an interval if that is nearer: stamps that
    were rounded lie a little beside their times, and each of such frames must come once.
    """
    half = 1 / (2 * fps)
    shown: Frame | None = None
    number = 0
    for frame in frames:
        while shown is not None and not _is_due(frame.time - number / fps, number / fps - shown.time, half):
            yield replace(shown, time=number / fps)
            number += 1
        shown = frame
    while shown is not None and (number == 0 or number / fps < shown.time + half):
        yield replace(shown, time=number / fps)
        number += 1


def _is_due(ahead: Fraction, behind: Fraction, half: Fraction) -> bool:
    """Whether the next frame, ``ahead`` of a time, takes the place of the one that came ``behind`` before it."""
    return ahead <= 0 or ahead < min(behind, half)
