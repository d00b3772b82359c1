"""Log-mel spectrogram of speech.

16 kHz, 25 ms Hann windows every 10 ms, 80 bands. A step of 10 ms divides the 40 ms of a frame at 25 fps, so
that windows cut from a whole clip's spectrogram and windows computed alone are the same.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

RATE_HZ = 16_000
MEL_BANDS = 80
STEP_SAMPLES = 160
FFT_SAMPLES = 400
MEL_FRAMES = 20  # of 10 ms: the 200 ms of AVFR-GAN (section 3, figure 3)
WINDOW_SAMPLES = (MEL_FRAMES - 1) * STEP_SAMPLES + FFT_SAMPLES
_FLOOR = 1e-5
_LOWEST_HZ, _HIGHEST_HZ, _KNEE_HZ = 55.0, 7600.0, 1000.0


@cache
def mel_filters() -> NDArray[np.float32]:
    """Triangles ``float32 [80, 201]`` over the bins of the spectrum, evenly spaced in mel, each of area 1 in Hz.

    Mel as Slaney's Auditory Toolbox has it: 3 a step of 200 Hz up to 1000 Hz, then 27 for every factor of 6.4.
    """
    edges = _hertz(np.linspace(_mel(_LOWEST_HZ), _mel(_HIGHEST_HZ), MEL_BANDS + 2))
    bins = np.arange(FFT_SAMPLES // 2 + 1) * RATE_HZ / FFT_SAMPLES
    low, peak, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    triangles = np.minimum((bins - low) / (peak - low), (high - bins) / (high - peak))
    return np.asarray(np.maximum(triangles, 0) * 2 / (high - low), np.float32)


def _mel(hertz: float) -> float:
    return 3 * hertz / 200 if hertz < _KNEE_HZ else 15 + 27 * math.log(hertz / _KNEE_HZ) / math.log(6.4)


def _hertz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(mel < 15, 200 * mel / 3, _KNEE_HZ * 6.4 ** ((mel - 15) / 27))


def log_mel(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the log-mel spectrogram of mono samples.

    Args:
        samples: ``float32 [N]`` at 16 kHz in [-1, 1]. Frame j covers samples ``160 j`` to ``160 j + 400``.

    Returns:
        ``float32 [80, T]`` in [0, 1]: 0 is silence (mel magnitude 1e-5 or less), 1 is magnitude 10.
        T is ``(N - 400) // 160 + 1``, or 0 for fewer than 400 samples.
    """
    count = (len(samples) - FFT_SAMPLES) // STEP_SAMPLES + 1
    if count <= 0:
        return np.zeros((MEL_BANDS, 0), np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(samples, FFT_SAMPLES)[::STEP_SAMPLES][:count]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FFT_SAMPLES) / FFT_SAMPLES)
    magnitude = np.abs(np.fft.rfft(frames * window.astype(np.float32), axis=1)).astype(np.float32)
    level = np.log10(np.maximum(mel_filters() @ magnitude.T, _FLOOR))
    return np.clip((level + 5) / 6, 0, 1).astype(np.float32)
