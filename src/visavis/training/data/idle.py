"""How people blink, look about, raise brows and breathe: tables of :mod:`visavis.motion.speech.idle`, measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from visavis.motion.speech.idle import BLINK_STEPS, SIZES
from visavis.motion.speech.sway import BANDS_HZ, FPS, autocovariance

Array = NDArray[np.float64]

_SHUT, _OPEN = 0.5, 0.75
_LONGEST_BLINK = 14
_AROUND = 6
_DART = 0.06
_WINDOW = 64
_BREATH_HZ = (0.2, 0.4)
_BREATH_WINDOW = 125
_USUAL_BREATH_HZ = 0.27


@dataclass(frozen=True, eq=False)
class IdleClip:
    """One clip at 25 fps.

    Attributes:
        lids: ``[T]``, openings of both eyes as shares of their usual one.
        gaze: ``[T, 2, 2]``.
        brows: ``[T, 2]``, of the unposed face.
        camera: ``[T, 6]``.
        speech: ``bool [T]``, whether somebody speaks; None where nobody knows.
    """

    lids: Array
    gaze: Array
    brows: Array
    camera: Array
    speech: NDArray[np.bool_] | None = None


def idle_tables(clips: Sequence[IdleClip]) -> dict[str, NDArray[np.float32]]:
    """Measure all tables; clips count by their length."""
    tables = {**_blinks(clips), **_looks(clips), **_brows(clips), "breath": _breath(clips)}
    return {name: np.asarray(tables[name], np.float32).reshape(shape) for name, shape in SIZES.items()}


def blinks_of(lids: Array) -> list[tuple[int, int]]:
    """First frame of each blink and the one after its last, from when lids begin to fall to when they are up again."""
    found, at = [], 1
    while at < len(lids) - 1:
        if lids[at] >= _SHUT:
            at += 1
            continue
        end = at
        while end < len(lids) and lids[end] < _SHUT:
            end += 1
        first, last = at, end
        while first > max(at - _AROUND, 0) and lids[first - 1] > lids[first] - 0.02 and lids[first] < 0.9:
            first -= 1
        while last < min(end + _AROUND, len(lids)) and lids[last] > lids[last - 1] - 0.02 and lids[last - 1] < 0.9:
            last += 1
        around = lids[max(first - 2, 0) : first + 1].max(), lids[last - 1 : last + 2].max()
        if last - first <= _LONGEST_BLINK and min(around) > _OPEN:
            found.append((first, last))
        at = max(last, end)
    return found


def _blinks(clips: Sequence[IdleClip]) -> dict[str, Array]:
    frames, depths, shapes = [], [], []
    counts, seconds = np.zeros(2), np.zeros(2)
    for clip in clips:
        blinks = blinks_of(clip.lids)
        for first, last in blinks:
            frames.append(last - first)
            lost = 1 - clip.lids[first:last]
            depths.append(min(lost.max(), 1.0))
            at = np.linspace(0, last - first - 1, BLINK_STEPS)
            shapes.append(np.interp(at, np.arange(last - first), lost / lost.max()))
        speech = np.ones(len(clip.lids), bool) if clip.speech is None else clip.speech
        for kind in (0, 1):
            seconds[kind] += (speech == bool(kind)).sum() / FPS
            counts[kind] += sum(bool(speech[(first + last) // 2]) == bool(kind) for first, last in blinks)
    rates = counts / np.maximum(seconds, 1e-9)
    overall = counts.sum() / max(seconds.sum(), 1e-9)
    rates = np.where(seconds > 10, rates, overall)
    if not shapes:  # nobody blinks: neither do those who learn from them
        return {
            "blink_hz": rates,
            "blink_frames": np.full(9, 7.0),
            "blink_depth": np.ones(9),
            "blink_shape": np.sin(np.linspace(0, np.pi, BLINK_STEPS)),
        }
    shape = np.maximum(np.mean(shapes, 0), 0)
    shape[[0, -1]] = 0
    return {
        "blink_hz": rates,
        "blink_frames": _table(frames),
        "blink_depth": _table(depths),
        "blink_shape": shape / shape.max(),
    }


def _looks(clips: Sequence[IdleClip]) -> dict[str, Array]:
    """Where eyes rest between darts, and for how long; what the head's turn takes back is left out."""
    middle = np.median(np.concatenate([clip.gaze for clip in clips]), 0)
    follow = np.zeros(2)
    for axis, turn in ((0, 4), (1, 3)):
        gaze = np.concatenate([_centred(clip.gaze[:, :, axis].mean(1)) for clip in clips])
        head = np.concatenate([_centred(clip.camera[:, turn]) for clip in clips])
        follow[axis] = gaze @ head / max(head @ head, 1e-9)
    rests, places = [], []
    for clip in clips:
        eyes = clip.gaze.mean(1) - follow * clip.camera[:, [4, 3]]
        eyes = np.stack([np.convolve(np.pad(line, 1, mode="edge"), np.ones(3) / 3, "valid") for line in eyes.T], 1)
        open_ = clip.lids > _OPEN
        jumps = np.linalg.norm(eyes[2:] - eyes[:-2], axis=1) > _DART
        darts = [int(at) + 1 for at in np.flatnonzero(jumps & open_[2:] & open_[:-2]) if at == 0 or not jumps[at - 1]]
        ends = [0, *darts, len(eyes)]
        for first, last in pairwise(ends):
            if last - first > 2:
                rests.append(last - first)
                places.append(np.median(eyes[first:last], 0) - np.median(eyes, 0))
    weight = np.array(rests, np.float64)
    spread = np.sqrt((weight[:, None] * np.square(places)).sum(0) / weight.sum()) if rests else np.zeros(2)
    return {"gaze_middle": middle, "gaze_follow": follow, "gaze_spread": spread, "gaze_frames": _table(rests or [50])}


def _brows(clips: Sequence[IdleClip]) -> dict[str, Array]:
    """Amplitudes of the bands whose sum has the brows' autocovariance, none negative."""
    lags = np.zeros(_WINDOW)
    count, both, each = 0, 0.0, 0.0
    for clip in clips:
        if len(clip.brows) < 2 * _WINDOW:
            continue
        brows = clip.brows - clip.brows.mean(0)
        count += len(brows)
        for side in brows.T:
            lags += [(side[k:] * side[: len(side) - k]).sum() / 2 for k in range(_WINDOW)]
        both += (brows[:, 0] * brows[:, 1]).sum()
        each += np.square(brows).sum() / 2
    if not count:
        return {"brow_bands": np.zeros(len(BANDS_HZ)), "brow_together": np.ones(1)}
    wanted, parts = lags[1:] / count, autocovariance(_WINDOW)[:, 1:]  # lag 0 has the tracker's noise in it
    power = _not_negative(parts @ parts.T, parts @ wanted)
    return {"brow_bands": np.sqrt(power), "brow_together": np.array([both / max(each, 1e-12)])}


def _not_negative(gram: Array, right: Array) -> Array:
    """Least squares without negative values, by turns."""
    found = np.zeros(len(right))
    for _ in range(200):
        for at in range(len(right)):
            rest = right[at] - gram[at] @ found + gram[at, at] * found[at]
            found[at] = max(rest / gram[at, at], 0.0)
    return found


def _breath(clips: Sequence[IdleClip]) -> Array:
    """Amplitudes of pitch and height at the pace of breath, in the stillest of fifty stretches of 5 s."""
    sizes = []
    for clip in clips:
        for first in range(0, len(clip.camera) - _BREATH_WINDOW + 1, _BREATH_WINDOW):
            part = clip.camera[first : first + _BREATH_WINDOW, [3, 1]]
            line = np.linspace(-1, 1, _BREATH_WINDOW)[:, None]
            part = part - part.mean(0) - line * (line * part).sum(0) / (line * line).sum()
            spectrum = np.abs(np.fft.rfft(part, axis=0)) * 2 / _BREATH_WINDOW
            hertz = np.fft.rfftfreq(_BREATH_WINDOW, 1 / FPS)
            inside = (hertz >= _BREATH_HZ[0]) & (hertz <= _BREATH_HZ[1])
            sizes.append([part.std(), *np.sqrt(np.square(spectrum[inside]).sum(0))])
    if not sizes:
        return np.array([_USUAL_BREATH_HZ, 0.0, 0.0])
    still = sorted(sizes)[: max(len(sizes) // 50, 1)]
    return np.array([_USUAL_BREATH_HZ, *np.median(still, 0)[1:]])


def _centred(values: Array) -> Array:
    return values - values.mean()


def _table(values: Sequence[float]) -> Array:
    return np.asarray(np.quantile(values, np.linspace(0, 1, 9)), np.float64)
