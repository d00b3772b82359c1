"""Smoothing that takes jitter out of still points and lets moving ones pass (one-euro filter, Casiez et al. 2012)."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray


class OneEuro:
    """Low-pass filter whose cut-off rises with speed, so that fast motion is followed without lag.

    Args:
        still_hz: cut-off for what does not move.
        speed_gain: how fast the cut-off rises with speed, in Hz per (unit per second). Values in [-1, 1] over a crop
            move at some units per second.
    """

    def __init__(self, still_hz: float = 2.0, speed_gain: float = 120.0, speed_hz: float = 8.0) -> None:
        self._still_hz, self._speed_gain, self._speed_hz = still_hz, speed_gain, speed_hz
        self._time: Fraction | None = None
        self._value: NDArray[np.float32] | None = None
        self._speed: NDArray[np.float32] | None = None

    def __call__(self, value: NDArray[np.float32], time: Fraction) -> NDArray[np.float32]:
        """Return the smoothed values at ``time`` (seconds, increasing)."""
        if self._value is None or self._speed is None or self._time is None or time <= self._time:
            self._time, self._value, self._speed = time, value, np.zeros_like(value)
            return value
        step = float(time - self._time)
        share = _share(np.float32(self._speed_hz), step)
        speed = self._speed + share * ((value - self._value) / step - self._speed)
        share = _share(self._still_hz + self._speed_gain * np.abs(speed), step)
        smoothed = (self._value + share * (value - self._value)).astype(np.float32)
        self._time, self._value, self._speed = time, smoothed, speed.astype(np.float32)
        return smoothed


def _share(cut_off_hz: NDArray[np.float32] | np.float32, step: float) -> NDArray[np.float32]:
    return np.asarray(1 / (1 + 1 / (2 * math.pi * cut_off_hz * step)), np.float32)
