"""How many frames a second: as the file says, or as its time stamps tell."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path
from statistics import median

import av.error
from av.container import InputContainer
from av.video.stream import VideoStream

from visavis.media.container import moving_pictures, open_input, tells_display_time
from visavis.media.timeline import joined

USUAL = Fraction(25)
#: Rates that cameras have: whole ones, and those of television in America.
_WHOLE = tuple(Fraction(n) for n in (5, 8, 10, 12, 15, 20, 24, 25, 30, 48, 50, 60, 90, 100, 120, 240))
_COMMON = (*_WHOLE, *(Fraction(n, 1001) for n in (24_000, 30_000, 60_000, 120_000)))
_TICK_S = Fraction(1, 1000)
_SNAP = Fraction(1, 250)
#: Kinds of files whose header need not say a rate: FFmpeg then guesses from their first stamps. AVI says how fine its
#: clock is, and may leave out most of the frames that would be.
_UNSTATED = {"avi", "matroska", "flv", "live_flv", "asf", "mpegts", "mpeg", "ogg", "nut"}
_MOST_BELIEVED = 1000
_LOOKED_AT = 240
#: Steps within this share of the middle one are like it; so many of all have to be; longer ones than that are pauses.
_REGULAR, _MOST, _PAUSE = Fraction(1, 4), Fraction(3, 4), Fraction(5, 2)


def frame_rate(path: Path, container: InputContainer, stream: VideoStream) -> Fraction:
    """Frames a second of a stream: as the file says, unless its first stamps contradict."""
    stated = stream.average_rate or stream.guessed_rate
    believed = Fraction(stated) if stated and 0 < stated <= _MOST_BELIEVED else None
    told = estimated(_stamps(path))
    if told is None or (believed is not None and abs(believed / told - 1) < Fraction(1, 20)):
        return believed or USUAL
    if believed is None or set(container.format.name.split(",")) & _UNSTATED:
        return told
    # Elsewhere it is a mean over all of the file, which is too low where a picture stands for long.
    return max(believed, told)


def estimated(stamps: Sequence[Fraction]) -> Fraction | None:
    """Frames a second by the steps between times in seconds; None when there are none.

    Where most steps are alike, those near the middle one are averaged: stamps in whole milliseconds make steps of 33
    and 34, and a frame that was left out makes one of 67. Where they are not, all but pauses are averaged.
    """
    steps = [after - before for before, after in pairwise(sorted(set(stamps)))]
    if not steps:
        return None
    middle = median(steps)
    near = [step for step in steps if abs(step - middle) <= _REGULAR * middle]
    if len(near) < _MOST * len(steps):
        near = [step for step in steps if step <= _PAUSE * middle]
    rate = len(near) / sum(near, Fraction(0))

    def off(known: Fraction) -> Fraction:
        return abs(known / rate - 1)

    whole, common = min(_WHOLE, key=off), min(_COMMON, key=off)
    if off(whole) <= _TICK_S / sum(near, Fraction(0)):
        return whole  # as far as stamps in milliseconds tell
    return common if off(common) < _SNAP else rate.limit_denominator(100)


def _stamps(path: Path) -> list[Fraction]:
    """Times of a video's first packets, without decoding anything."""
    found: list[Fraction] = []
    try:
        with open_input(path) as container:
            stream = moving_pictures(container)
            if stream is None:
                return found
            for packet in islice(joined(container, stream), _LOOKED_AT):
                shown = packet.pts if tells_display_time(container) else None
                stamp = packet.dts if shown is None else shown
                if stamp is not None and packet.time_base is not None:
                    found.append(stamp * packet.time_base)
    except av.error.FFmpegError:
        pass  # what was read until the damage tells enough
    return found
