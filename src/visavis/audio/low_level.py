"""84 low-level numbers of the sound around a frame (HeadGAN section 3.2, which takes those of pyAudioAnalysis).

The paper does not say which 84. These are the 34 short-term features of pyAudioAnalysis (Giannakopoulos 2015), computed
by their definitions every 10 ms over 25 ms, and of twenty such moments around the frame's time (215 ms, those of the
mel window):

====== ==============================================================================================================
0-33   their means, in the order of :data:`SHORT_TERM`
34-67  their slopes: of the straight line through the twenty, in units a step of 10 ms
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
MOMENTS = 20
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
    *(0.118, -2.78, 3, 0.184, 0.177, 0.791, 0.0839, 0.183, -23.5, 4.79, 0.0678, 1.01),
    *(0.0101, 0.0155, -0.267, -0.138, -0.0537, -0.0639, -0.081, 0.024, -0.13, 0.0687, 0.0186, 0.175),
    *(0.0455, 0.0974, 0.0398, 0.228, 0.01, 0.0334, 0.0923, 0.142, 0.0247, 0.115),
)
_DEVIATIONS = (
    *(0.089, 1.24, 0.148, 0.0914, 0.0491, 0.533, 0.0231, 0.14, 4.93, 1.88, 1.25, 1.09),
    *(0.778, 0.666, 0.588, 0.534, 0.468, 0.474, 0.38, 0.439, 0.393, 0.0605, 0.0261, 0.0986),
    *(0.046, 0.0743, 0.0415, 0.149, 0.0159, 0.0372, 0.0737, 0.0956, 0.0316, 0.0284),
)
_SLOPES = (
    *(0.011, 0.0839, 0.0187, 0.0105, 0.00495, 0.0527, 0.00232, 0.0175, 0.317, 0.184, 0.112, 0.0934),
    *(0.0726, 0.0558, 0.052, 0.0476, 0.0429, 0.0404, 0.0362, 0.0364, 0.0348, 0.00639, 0.00309, 0.00993),
    *(0.00525, 0.00782, 0.00487, 0.0113, 0.00195, 0.00437, 0.00788, 0.00944, 0.00354, 0.00258),
)
_SPREADS = (
    *(2.13, 1.24, 0.817, 0.684, 0.569, 0.479, 0.458, 0.429, 0.398, 0.38, 0.357, 0.357),
    *(0.343, 0.538, 0.0643, 0.0305),
)
_SPREADS_DEVIATIONS = (
    *(1.5, 0.831, 0.436, 0.348, 0.271, 0.196, 0.184, 0.17, 0.146, 0.141, 0.122, 0.126),
    *(0.117, 0.409, 0.0604, 0.0145),
)
# fmt: on
_CENTRE = np.array([*_MEANS, *(0.0 for _ in SHORT_TERM), *_SPREADS])
_SCALE = np.array([*_DEVIATIONS, *_SLOPES, *_SPREADS_DEVIATIONS])
