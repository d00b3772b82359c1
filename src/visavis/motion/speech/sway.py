"""Smooth noise in bands: what a head does that its speech does not tell, without drift and with a bounded state.

Each channel is white noise through two equal one-pole filters, of variance 1 and stationary from its first frame on: position and
speed are continuous to the eye, and the spectrum falls with 40 dB a decade as that of heads does (0.4 to 5 Hz).
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: Corner frequencies of the bands.
BANDS_HZ = (0.08, 0.16, 0.32, 0.64, 1.3, 2.6)
FPS = 25
#: Each band has as many channels as a camera has numbers, so that they may move together in any way.
CHANNELS_A_BAND = 6
CHANNELS = len(BANDS_HZ) * CHANNELS_A_BAND
#: Which band each channel is of.
BAND_OF = np.repeat(np.arange(len(BANDS_HZ)), CHANNELS_A_BAND)


@cache
def _filters() -> tuple[Array, Array, Array]:
    """Pole ``[bands]``, gain of the noise that makes the variance 1, and covariance ``[bands, 2, 2]`` of the two stages."""
    pole = np.exp(-2 * np.pi * np.array(BANDS_HZ) / FPS)
    square = pole**2
    # Stationary covariance of  u = p u + n,  v = p v + u  for noise of variance 1.
    uu = 1 / (1 - square)
    # With v of a frame after u of the same: E[u v] = p^2 E[u v] + E[u u].
    uv = uu / (1 - square)
    vv = (2 * square * uv + uu) / (1 - square)
    gain = 1 / np.sqrt(vv)
    covariance = np.stack([np.stack([uu, uv], -1), np.stack([uv, vv], -1)], -2) * (gain**2)[:, None, None]
    return pole, gain, covariance


def autocovariance(count: int) -> Array:
    """Of each band at lags 0 to ``count - 1`` frames, ``float64 [bands, count]``; 1 at lag 0."""
    pole, _, covariance = _filters()
    lags = np.arange(count)[None]
    # v at lag k is  p^k v + k p^k u  of now (from  v_(t+1) = p v_t + p u_t + n).
    power = pole[:, None] ** lags
    return np.asarray(power * covariance[:, 1, 1, None] + lags * power * covariance[:, 0, 1, None])


class Sway:
    """A stream of all channels.

    Args:
        rng: where the noise comes from.
        many: streams side by side.
    """

    def __init__(self, rng: np.random.Generator, many: int = 1) -> None:
        self._rng = rng
        pole, gain, covariance = _filters()
        self._pole, self._gain = pole[BAND_OF], gain[BAND_OF]
        factor = np.linalg.cholesky(covariance)[BAND_OF]
        start = np.einsum("cij,mcj->imc", factor, rng.standard_normal((many, CHANNELS, 2)))
        self._first, self._second = start

    def next(self) -> Array:
        """The next frame, ``float64 [many, CHANNELS]`` of variance 1."""
        noise = self._rng.standard_normal(self._first.shape)
        self._first = self._pole * self._first + self._gain * noise
        self._second = self._pole * self._second + self._first
        return self._second

    def take(self, frames: int) -> Array:
        """The next frames, ``float64 [many, frames, CHANNELS]``."""
        return np.stack([self.next() for _ in range(frames)], 1)
