"""84 low-level numbers of the sound around a frame (HeadGAN section 3.2, which takes those of pyAudioAnalysis).

The paper does not say which 84. These are the 34 short-term features of pyAudioAnalysis (Giannakopoulos 2015), computed
by their definitions every 10 ms over 25 ms, and of twelve such moments around the frame's time (135 ms):

====== ==============================================================================================================
0-33   their means, in the order of :data:`SHORT_TERM`
34-67  their slopes: of the straight line through the twelve, in units a step of 10 ms
68-83  the deviations of the 13 cepstra, of energy, centroid and flux
====== ==============================================================================================================

Their definitions are pyAudioAnalysis's but for scales: energy is its logarithm, flux the root of its sum, chroma the
share of power at a note, cepstra are of our 80 mel bands, and silence has a value in all of them. The numbers are
brought to about unit scale by fixed constants, those of speech in real rooms, and cut off at five: none depends on the
rest of the clip.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from visavis.audio.mel import FFT_SAMPLES, MEL_BANDS, RATE_HZ, STEP_SAMPLES, mel_filters

Floats = NDArray[np.float32]

CEPSTRA = 13
CHROMA = 12
#: Names of the numbers of one moment.
SHORT_TERM = (
    *("zero_crossings", "energy", "energy_entropy", "centroid", "spread", "spectral_entropy", "flux", "rolloff"),
    *(f"cepstrum_{number}" for number in range(CEPSTRA)),
    *(f"chroma_{number}" for number in range(CHROMA)),
    "chroma_deviation",
)
_ENERGY, _CENTROID, _FLUX, _FIRST_CEPSTRUM = 1, 3, 6, 8
#: Of which the deviation is given, too.
_DEVIATING = (*range(_FIRST_CEPSTRUM, _FIRST_CEPSTRUM + CEPSTRA), _ENERGY, _CENTROID, _FLUX)
SIZE = 2 * len(SHORT_TERM) + len(_DEVIATING)
#: Moments that a frame's numbers are made of; an even number, so that the frame's time lies in their middle.
MOMENTS = 12
#: Samples before and after a frame's time that are heard: the flux of the first moment hears the one before it.
BEFORE_SAMPLES = MOMENTS // 2 * STEP_SAMPLES + (FFT_SAMPLES - STEP_SAMPLES) // 2 + STEP_SAMPLES
AFTER_SAMPLES = MOMENTS // 2 * STEP_SAMPLES + (FFT_SAMPLES - STEP_SAMPLES) // 2

_PARTS = 10  # short blocks or bands that an entropy is taken over
_ROLLOFF = 0.9
_LOWEST_NOTE_HZ = 27.5
_FLOOR = 1e-5  # of magnitudes: below it is silence, as for the mel spectrogram
_MOST = 5.0


def short_term(samples: Floats) -> Floats:
    """Return the 34 numbers of each moment.

    Args:
        samples: ``float32 [N]`` at 16 kHz in [-1, 1]. Moment j covers samples ``160 j`` to ``160 j + 400``.

    Returns:
        ``float32 [J, 34]``, J being ``(N - 400) // 160 + 1``; the first moment's flux is 0, having none before it.
    """
    count = max((len(samples) - FFT_SAMPLES) // STEP_SAMPLES + 1, 0)
    if not count:
        return np.zeros((0, len(SHORT_TERM)), np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(samples, FFT_SAMPLES)[::STEP_SAMPLES][:count]
    magnitude = np.abs(np.fft.rfft(frames * _hann(), axis=1)).astype(np.float32)
    power = np.square(magnitude)
    bands = np.log10(np.maximum(magnitude @ mel_filters().T, _FLOOR)) @ _cosines()
    chroma = _chroma(power)
    columns = (
        _crossings(frames),
        np.log10(np.mean(np.square(frames), 1) + 1e-10),
        _entropy(np.square(frames).reshape(count, _PARTS, -1).sum(2)),
        *_shape(magnitude),
        _entropy(power[:, : FFT_SAMPLES // 2].reshape(count, _PARTS, -1).sum(2)),
        _flux(magnitude),
        _rolloff(power),
    )
    return np.concatenate([np.stack(columns, 1), bands, chroma, chroma.std(1, keepdims=True)], 1).astype(np.float32)


def low_level(samples: Floats, step: int = 1) -> Floats:
    """Return the 84 numbers of frames.

    Args:
        samples: ``float32 [N]`` at 16 kHz in [-1, 1]; the first frame's time is that of sample ``BEFORE_SAMPLES``.
        step: moments of 10 ms from one frame to the next.

    Returns:
        ``float32 [T, 84]`` for as many frames as have their reach on both sides.
    """
    return np.clip((raw_numbers(samples, step) - _CENTRE) / _SCALE, -_MOST, _MOST).astype(np.float32)


def raw_numbers(samples: Floats, step: int = 1) -> NDArray[np.float64]:
    """The 84 numbers before they are scaled; arguments as for :func:`low_level`."""
    moments = short_term(samples)[1:]  # the first is there for the flux of the second
    if len(moments) < MOMENTS:
        return np.zeros((0, SIZE))
    windows = np.lib.stride_tricks.sliding_window_view(moments, MOMENTS, 0)[::step].astype(np.float64)
    return np.concatenate([windows.mean(2), windows @ _line(), windows[:, list(_DEVIATING)].std(2)], 1)


@cache
def _hann() -> Floats:
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FFT_SAMPLES) / FFT_SAMPLES)).astype(np.float32)


@cache
def _line() -> NDArray[np.float64]:
    """``[MOMENTS]``: weights whose sum of products is the slope of the least squares line."""
    at = np.arange(MOMENTS) - (MOMENTS - 1) / 2
    return np.asarray(at / np.square(at).sum())


@cache
def _cosines() -> Floats:
    """``[80, 13]``: the first columns of the orthonormal DCT-II."""
    waves = np.cos(np.pi * (np.arange(MEL_BANDS)[:, None] + 0.5) * np.arange(CEPSTRA) / MEL_BANDS)
    return (waves * np.sqrt(np.where(np.arange(CEPSTRA), 2, 1) / MEL_BANDS)).astype(np.float32)


def _crossings(frames: Floats) -> Floats:
    """Share of neighbouring samples of other sign."""
    return np.mean((frames[:, 1:] < 0) != (frames[:, :-1] < 0), 1, dtype=np.float32)


def _entropy(parts: Floats) -> Floats:
    """Entropy in bits of how power is spread over parts ``[J, 10]``; silence is spread evenly."""
    share = parts + np.float32(1e-10)
    share = share / share.sum(1, keepdims=True)
    return -np.sum(share * np.log2(share), 1)


def _shape(magnitude: Floats) -> tuple[Floats, Floats]:
    """Centre of gravity of the spectrum and its deviation, of half the rate; silence has those of a flat one."""
    at = np.linspace(0, 1, magnitude.shape[1], dtype=np.float32)
    share = magnitude + np.float32(_FLOOR)
    share = share / share.sum(1, keepdims=True)
    centre = share @ at
    return centre, np.sqrt(np.sum(share * np.square(at - centre[:, None]), 1))


def _flux(magnitude: Floats) -> Floats:
    """How far the spectrum's shape is from that of the moment before: root of the summed squares of differences."""
    share = magnitude + np.float32(_FLOOR)
    share = share / share.sum(1, keepdims=True)
    change = np.sqrt(np.square(np.diff(share, axis=0)).sum(1))
    return np.concatenate([np.zeros(1, np.float32), change])


def _rolloff(power: Floats) -> Floats:
    """Below which share of the frequencies nine tenths of the power lie; 0 in silence."""
    total = np.cumsum(power, 1)
    return np.mean(total < _ROLLOFF * total[:, -1:], 1, dtype=np.float32)


def _chroma(power: Floats) -> Floats:
    """Share of the power at each of the twelve notes, ``[J, 12]``, A first; zero in silence."""
    notes = power @ _note_of_bin()
    return notes / (power.sum(1, keepdims=True) + np.float32(1e-8))


@cache
def _note_of_bin() -> Floats:
    """``[201, 12]``: each bin of the spectrum belongs to the nearest note, and shares with all bins of that note."""
    hertz = np.arange(1, FFT_SAMPLES // 2 + 1) * RATE_HZ / FFT_SAMPLES
    note = np.rint(12 * np.log2(hertz / _LOWEST_NOTE_HZ)).astype(int) % CHROMA
    table = np.zeros((FFT_SAMPLES // 2 + 1, CHROMA), np.float32)
    table[np.arange(1, len(hertz) + 1), note] = 1
    return table


# Means and deviations of the raw numbers over the training speech of docs/data.md (171 clips), as
# tools/scale_low_level.py prints them; a slope's mean is zero.
# fmt: off
_MEANS = (
    *(0.118, -2.79, 3, 0.184, 0.178, 0.791, 0.0839, 0.183, -23.6, 4.79, 0.0686, 1.01),
    *(0.0122, 0.0148, -0.267, -0.137, -0.0534, -0.0638, -0.081, 0.0229, -0.129, 0.0686, 0.0186, 0.175),
    *(0.0455, 0.0974, 0.0397, 0.228, 0.00997, 0.0333, 0.0921, 0.142, 0.0246, 0.115),
)
_DEVIATIONS = (
    *(0.103, 1.31, 0.173, 0.104, 0.0545, 0.592, 0.0257, 0.163, 5.2, 2.08, 1.36, 1.18),
    *(0.851, 0.717, 0.638, 0.58, 0.51, 0.511, 0.417, 0.472, 0.426, 0.0678, 0.03, 0.11),
    *(0.0524, 0.0832, 0.0475, 0.159, 0.0183, 0.0426, 0.0827, 0.106, 0.0358, 0.0311),
)
_SLOPES = (
    *(0.0175, 0.127, 0.0354, 0.0163, 0.00765, 0.086, 0.00418, 0.0285, 0.486, 0.275, 0.167, 0.137),
    *(0.111, 0.0877, 0.0828, 0.076, 0.0683, 0.0648, 0.0592, 0.0597, 0.0564, 0.0109, 0.00524, 0.0168),
    *(0.00905, 0.0133, 0.00843, 0.0186, 0.00336, 0.00756, 0.0134, 0.0158, 0.00614, 0.00432),
)
_SPREADS = (
    *(1.66, 0.95, 0.651, 0.546, 0.467, 0.404, 0.39, 0.369, 0.344, 0.33, 0.314, 0.314),
    *(0.302, 0.411, 0.0492, 0.028),
)
_SPREADS_DEVIATIONS = (
    *(1.33, 0.729, 0.381, 0.303, 0.24, 0.182, 0.173, 0.159, 0.138, 0.132, 0.119, 0.12),
    *(0.112, 0.362, 0.0531, 0.0154),
)
# fmt: on
_CENTRE = np.array([*_MEANS, *(0.0 for _ in SHORT_TERM), *_SPREADS])
_SCALE = np.array([*_DEVIATIONS, *_SLOPES, *_SPREADS_DEVIATIONS])
