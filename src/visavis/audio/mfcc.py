"""Mel frequency cepstra by the definition that SyncNet was trained with.

It is that of the package python_speech_features with its defaults: pre-emphasis 0.97, rectangular windows of 25 ms
every 10 ms, an FFT of 512, 26 triangular filters from 0 to 8000 Hz with whole-bin corners, an orthonormal DCT-II, a
lifter of 22, and the frame's log energy in place of the first coefficient. Its scale is that of 16-bit samples.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from visavis.audio.mel import RATE_HZ

CEPSTRA = 13
_WINDOW, _STEP, _FFT = 400, 160, 512
_FILTERS = 26
_PRE_EMPHASIS = 0.97
_LIFTER = 22
_FULL_SCALE = 32_768
_TINY = float(np.finfo(float).eps)


def mfcc(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the cepstra of mono samples.

    Args:
        samples: ``float32 [N]`` at 16 kHz in [-1, 1], N >= 1. The last window is filled up with silence.

    Returns:
        ``float32 [13, M]`` with ``M = 1 + ceil((N - 400) / 160)``, at least 1; column j starts at sample 160 j.
    """
    whole = np.clip(np.rint(samples * _FULL_SCALE), -_FULL_SCALE, _FULL_SCALE - 1).astype(np.float64)
    emphasised = np.append(whole[:1], whole[1:] - _PRE_EMPHASIS * whole[:-1])
    count = 1 + max(0, -(-(len(whole) - _WINDOW) // _STEP))
    padded = np.zeros((count - 1) * _STEP + _WINDOW)
    padded[: len(emphasised)] = emphasised[: len(padded)]
    frames = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::_STEP]
    power = np.abs(np.fft.rfft(frames, _FFT)) ** 2 / _FFT
    bands = np.log(np.maximum(power @ _triangles().T, _TINY))
    cepstra = bands @ _cosines()
    cepstra *= 1 + _LIFTER / 2 * np.sin(np.pi * np.arange(CEPSTRA) / _LIFTER)
    cepstra[:, 0] = np.log(np.maximum(power.sum(1), _TINY))
    return np.asarray(cepstra.T, np.float32)


@cache
def _cosines() -> NDArray[np.float64]:
    """``[26, 13]``: the first columns of the orthonormal DCT-II."""
    waves = np.cos(np.pi * (np.arange(_FILTERS)[:, None] + 0.5) * np.arange(CEPSTRA) / _FILTERS)
    return np.asarray(waves * np.sqrt(np.where(np.arange(CEPSTRA), 2, 1) / _FILTERS))


@cache
def _triangles() -> NDArray[np.float64]:
    """``[26, 257]``: each filter rises from its neighbour's peak to its own and falls to the next one's."""
    top = 2595 * np.log10(1 + RATE_HZ / 2 / 700)
    hertz = 700 * (10 ** (np.linspace(0, top, _FILTERS + 2) / 2595) - 1)
    corners = np.floor((_FFT + 1) * hertz / RATE_HZ)
    bins = np.arange(_FFT // 2 + 1)
    low, peak, high = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    rising, falling = (bins - low) / (peak - low), (high - bins) / (high - peak)
    inside = (bins >= low) & (bins < high)
    return np.where(inside, np.where(bins < peak, rising, falling), 0.0)
