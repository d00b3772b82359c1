"""What happens to speech between a mouth and a file: a room, a microphone, a line, and what else is heard."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visavis.audio.mel import RATE_HZ

_Floats = NDArray[np.float32]
_TAIL_S = 0.6
_TINY = 1e-9
_NOISE_NUMBERS = 1 << 21
_CURVE_HZ = np.linspace(0, RATE_HZ / 2, 513)


def recorded(samples: _Floats, beside: _Floats, strength: float, rng: np.random.Generator) -> _Floats:
    """Return speech as some microphone hears it.

    Args:
        samples: ``float32 [N]`` at 16 kHz, clean.
        beside: somebody else who speaks, in some of the recordings.
        strength: from 0, a good microphone in a quiet room, to 1, where words may get lost.
        rng: decides all else: reverberation, frequency response and band limits down to those of a telephone, noise
            of any colour, tones of music, loudness, clipping.
    """
    loud = np.float32(np.sqrt(np.mean(np.square(samples)) + _TINY))
    count = _fast_length(len(samples) + int(_TAIL_S * RATE_HZ))
    spectrum: NDArray[Any] = np.fft.rfft(samples, count)
    away = 25 * (1 - strength)  # decibels by which what disturbs lies lower
    if rng.random() < 0.6:
        spectrum *= np.fft.rfft(_room(away, rng), count)
    level = loud * np.sqrt(count) * 10 ** (-(50 - 45 * strength * rng.random()) / 20)
    spectrum = (spectrum + noise_spectrum(len(spectrum), rng) * np.float32(level)) * _spread(
        _response(strength, rng), len(spectrum)
    )
    heard = np.fft.irfft(spectrum, count)[: len(samples)].astype(np.float32)
    if rng.random() < 0.15:
        heard += tones(len(samples), rng) * (loud * np.float32(10 ** (-(away + rng.uniform(3, 15)) / 20)))
    if rng.random() < 0.15:
        begin = int(rng.integers(len(samples)))
        other = beside[: len(samples) - begin]
        level = loud / np.sqrt(np.mean(np.square(beside)) + _TINY) * 10 ** (-(away + rng.uniform(8, 18)) / 20)
        heard[begin : begin + len(other)] += other * np.float32(level)
    peak = np.abs(heard).max() + np.float32(_TINY)
    heard *= np.float32(10 ** rng.uniform(-1.2, 0)) / peak
    if rng.random() < 0.15 * strength:
        most = np.float32(rng.uniform(0.2, 0.7)) * np.abs(heard).max()
        heard = np.clip(heard, -most, most)
    return heard


def shifted(mel: _Floats, rng: np.random.Generator) -> _Floats:
    """Another throat and another loudness: bands moved by a few hundredths, all or one end of them louder; noise."""
    count = len(mel)
    at = np.clip(np.arange(count) * rng.uniform(0.95, 1.05) + rng.uniform(-1, 1), 0, count - 1.001).astype(np.float32)
    low = at.astype(int)
    share = (at - low)[:, None]
    moved = mel[low] * (1 - share) + mel[low + 1] * share
    moved += (rng.uniform(-0.08, 0.08) + rng.uniform(-0.04, 0.04) * np.linspace(-1, 1, count, dtype=np.float32))[
        :, None
    ]
    first = int(rng.integers(_NOISE_NUMBERS - moved.size))
    moved += np.float32(rng.uniform(0, 0.02)) * _gaussians()[first : first + moved.size].reshape(moved.shape)
    return np.asarray(np.clip(moved, 0, 1), np.float32)


def masked(mel: _Floats, rng: np.random.Generator) -> _Floats:
    """Hide some bands and some moments of a spectrogram (SpecAugment, Park et al. 2019)."""
    out, level = mel.copy(), mel.mean()
    for _ in range(int(rng.integers(3))):
        first, count = int(rng.integers(len(mel))), int(rng.integers(1, 13))
        out[first : first + count] = level
    for _ in range(int(rng.integers(3))):
        first, count = int(rng.integers(mel.shape[1])), int(rng.integers(1, 13))
        out[:, first : first + count] = level
    return out


def _room(away: float, rng: np.random.Generator) -> _Floats:
    """An impulse response: the direct sound, then noise that decays by 60 dB in 0.1 to 0.8 s."""
    seconds = rng.uniform(0.1, 0.8)
    at = np.arange(int(min(seconds, _TAIL_S) * RATE_HZ)) / RATE_HZ
    response = rng.standard_normal(len(at), np.float32) * (10 ** (-3 * at / seconds)).astype(np.float32)
    response[: int(rng.uniform(0.001, 0.01) * RATE_HZ)] = 0
    response *= np.float32(10 ** (-(away + rng.uniform(0, 12)) / 20)) / np.sqrt(
        np.square(response).sum() + np.float32(_TINY)
    )
    response[0] = 1
    return response


def noise_spectrum(bins: int, rng: np.random.Generator) -> NDArray[np.complex64]:
    """Spectrum ``[bins]`` of noise of power 1 a bin on average, from white to brown."""
    colour = np.maximum(_CURVE_HZ, 60.0) ** -rng.uniform(0, 1)
    colour /= np.sqrt(np.mean(colour**2))
    first = int(rng.integers(_NOISE_NUMBERS - 2 * bins))
    numbers = _gaussians()[first : first + 2 * bins].view(np.complex64)
    return np.asarray(numbers * _spread(colour * np.sqrt(0.5), bins))


@cache
def _gaussians() -> _Floats:
    """Random numbers of which each recording takes some in a row: drawing new ones would be half of the work."""
    return np.random.default_rng(0).standard_normal(_NOISE_NUMBERS, np.float32)


def _response(strength: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Gain at :data:`_CURVE_HZ`: a wavy line through octaves within some decibels, and edges of the band."""
    octaves = np.log2(np.maximum(_CURVE_HZ, 30.0))
    bends = np.linspace(octaves[0], octaves[-1], 6)
    decibels = np.interp(octaves, bends, strength * rng.normal(0, 6, 6))
    low, high = rng.uniform(20, 120), 8000.0
    kind = rng.random()
    if kind < 0.25 * strength:  # a telephone
        low, high = rng.uniform(200, 350), rng.uniform(3000, 3800)
    elif kind < 0.5:
        high = rng.uniform(3500, 8000)
    # Slopes of 24 and 48 dB an octave.
    decibels -= 10 * np.log10(1 + (low / np.maximum(_CURVE_HZ, 1.0)) ** 8) + 10 * np.log10(1 + (_CURVE_HZ / high) ** 16)
    return np.asarray(10 ** (decibels / 20))


def _spread(curve: NDArray[np.float64], bins: int) -> _Floats:
    """A curve at :data:`_CURVE_HZ` at so many bins from zero to the highest frequency."""
    at = np.linspace(0, len(curve) - 1, bins, dtype=np.float32)
    return np.interp(at, np.arange(len(curve)), curve).astype(np.float32)


def tones(count: int, rng: np.random.Generator) -> _Floats:
    """Chords of a few harmonics, of power 1, changing every third of a second or so."""
    out = np.zeros(count, np.float32)
    at = 0
    while at < count:
        length = min(int(rng.uniform(0.15, 0.8) * RATE_HZ), count - at)
        time = np.arange(length, dtype=np.float32) * np.float32(2 * np.pi / RATE_HZ)
        for _ in range(int(rng.integers(1, 4))):
            note = 110 * 2 ** (int(rng.integers(0, 37)) / 12)
            for harmonic in range(1, 4):
                if note * harmonic < RATE_HZ / 2:
                    out[at : at + length] += np.sin(np.float32(note * harmonic) * time) / np.float32(harmonic)
        at += length
    return out / np.sqrt(np.mean(np.square(out)) + np.float32(_TINY))


def _fast_length(least: int) -> int:
    """The next length with small factors alone, for the transforms."""
    return -(-least // 1024) * 1024 if least > 1024 else 1024
