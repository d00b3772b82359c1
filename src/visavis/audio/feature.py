"""What a generator takes of the sound around a frame."""

from __future__ import annotations

from fractions import Fraction
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from visavis.audio.mel import MEL_BANDS, MEL_FRAMES, RATE_HZ, WINDOW_SAMPLES, log_mel


class SoundFeature(Protocol):
    """A window of sound around a frame's time, and what is made of it."""

    @property
    def rate_hz(self) -> int:
        """Rate of the samples it is made of."""

    @property
    def before_s(self) -> Fraction:
        """Seconds of sound before a frame's time that it needs; a whole number of samples."""

    @property
    def after_s(self) -> Fraction:
        """Seconds of sound after a frame's time that it needs; a whole number of samples."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array that it gives."""

    def compute(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the feature, ``float32`` of :attr:`shape`.

        Args:
            samples: ``float32 [N]``, mono in [-1, 1]; N is :func:`window_samples` of the feature.
        """


def window_samples(feature: SoundFeature) -> tuple[int, int]:
    """Samples before and after a frame's time that a feature needs."""
    return round(feature.before_s * feature.rate_hz), round(feature.after_s * feature.rate_hz)


class MelWindow:
    """AVFR-GAN's: log-mel over 200 ms centred on the frame (section 3, figure 3), ``float32 [80, 20]`` in [0, 1]."""

    rate_hz = RATE_HZ
    before_s = Fraction(WINDOW_SAMPLES // 2, RATE_HZ)
    after_s = Fraction(WINDOW_SAMPLES - WINDOW_SAMPLES // 2, RATE_HZ)
    shape = (MEL_BANDS, MEL_FRAMES)

    def compute(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Log-mel spectrogram of the window."""
        return log_mel(samples)


MEL_WINDOW = MelWindow()
