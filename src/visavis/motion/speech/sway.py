"""Smooth noise in bands: what a head does that its speech does not tell, without drift and with a bounded state.

Each channel is white noise through three equal one-pole filters, of variance 1 and stationary from its first frame on:
place, speed and what a head's mass feels are continuous to the eye, and sums of bands fall as steeply as heads do (0.4
to 5 Hz).
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: Corner frequencies of the poles; half of a band's power lies below half of it.
BANDS_HZ = (0.12, 0.25, 0.5, 1.0, 2.0, 3.5)
POLES = 3
FPS = 25
#: Each band has as many channels as a camera has numbers, so that they may move together in any way.
CHANNELS_A_BAND = 6
CHANNELS = len(BANDS_HZ) * CHANNELS_A_BAND
#: Which band each channel is of.
BAND_OF = np.repeat(np.arange(len(BANDS_HZ)), CHANNELS_A_BAND)


@cache
def _filters() -> tuple[Array, Array, Array]:
    """Matrices of each band: the state's next ``[bands, 3, 3]``, gain of the noise ``[bands]``, covariance ``[bands,
    3, 3]``.

    The state are the outputs of the three poles, each of which takes in the one before of the same frame.
    """
    nexts, gains, covariances = [], [], []
    for pole in np.exp(-2 * np.pi * np.array(BANDS_HZ) / FPS):
        step = pole * np.tril(np.ones((POLES, POLES)))
        # Stationary: P = A P A' + n n', and the noise enters every output.
        enters = np.ones((POLES, POLES))
        whole = np.eye(POLES**2) - np.kron(step, step)
        covariance = np.linalg.solve(whole, enters.ravel()).reshape(POLES, POLES)
        gains.append(1 / np.sqrt(covariance[-1, -1]))
        nexts.append(step)
        covariances.append(covariance * gains[-1] ** 2)
    return np.stack(nexts), np.array(gains), np.stack(covariances)


@cache
def autocovariance(count: int) -> Array:
    """Of each band at lags 0 to ``count - 1`` frames, ``float64 [bands, count]``; 1 at lag 0."""
    nexts, _, covariance = _filters()
    state, lags = covariance[:, :, -1], []
    for _ in range(count):
        lags.append(state[:, -1])
        state = np.einsum("bij,bj->bi", nexts, state)
    return np.stack(lags, 1)


class Sway:
    """A stream of all channels.

    Args:
        rng: where the noise comes from.
        many: streams side by side.
    """

    def __init__(self, rng: np.random.Generator, many: int = 1) -> None:
        self._rng = rng
        nexts, gain, covariance = _filters()
        self._next, self._gain = nexts[BAND_OF], gain[BAND_OF, None]
        factor = np.linalg.cholesky(covariance)[BAND_OF]
        self._state = np.einsum("cij,mcj->mci", factor, rng.standard_normal((many, CHANNELS, POLES)))

    def next(self) -> Array:
        """The next frame, ``float64 [many, CHANNELS]`` of variance 1."""
        noise = self._rng.standard_normal((len(self._state), CHANNELS, 1))
        self._state = np.einsum("cij,mcj->mci", self._next, self._state) + self._gain * noise
        return np.asarray(self._state[..., -1])

    def take(self, frames: int) -> Array:
        """The next frames, ``float64 [many, frames, CHANNELS]``."""
        return np.stack([self.next() for _ in range(frames)], 1)
