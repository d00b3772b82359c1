"""Low-level numbers of sound: against definitions as others wrote them, and what a frame may hear."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
from scipy.fft import dct
from scipy.signal import get_window
from scipy.stats import entropy, linregress

from visavis.audio.low_level import (
    AFTER_SAMPLES,
    BEFORE_SAMPLES,
    MOMENTS,
    SHORT_TERM,
    SIZE,
    low_level,
    raw_numbers,
    short_term,
)
from visavis.audio.mel import FFT_SAMPLES, RATE_HZ, STEP_SAMPLES, mel_filters

COUNT = 40


@pytest.fixture(scope="module")
def samples() -> np.ndarray:
    """Noise, a gliding tone and silence."""
    rng = np.random.default_rng(0)
    time = np.arange((COUNT - 1) * STEP_SAMPLES + FFT_SAMPLES) / RATE_HZ
    sound = 0.3 * np.sin(2 * np.pi * (300 + 900 * time) * time) + 0.05 * rng.standard_normal(len(time))
    return (sound * (time < 0.3)).astype(np.float32)


@pytest.fixture(scope="module")
def frames(samples: np.ndarray) -> np.ndarray:
    return np.stack([samples[STEP_SAMPLES * j : STEP_SAMPLES * j + FFT_SAMPLES] for j in range(COUNT)]).astype(float)


@pytest.fixture(scope="module")
def magnitude(frames: np.ndarray) -> np.ndarray:
    return np.abs(np.fft.rfft(frames * get_window("hann", FFT_SAMPLES)))


def column(samples: np.ndarray, name: str) -> np.ndarray:
    return short_term(samples)[:, SHORT_TERM.index(name)]


def test_the_shape_of_the_spectrum_is_that_of_librosa(samples: np.ndarray, magnitude: np.ndarray):
    shown = magnitude.T + 1e-5
    centroid = librosa.feature.spectral_centroid(S=shown, sr=RATE_HZ, n_fft=FFT_SAMPLES)[0] / (RATE_HZ / 2)
    spread = librosa.feature.spectral_bandwidth(S=shown, sr=RATE_HZ, n_fft=FFT_SAMPLES)[0] / (RATE_HZ / 2)
    np.testing.assert_allclose(column(samples, "centroid"), centroid, atol=1e-4)
    np.testing.assert_allclose(column(samples, "spread"), spread, atol=1e-4)
    loud = magnitude.sum(1) > 1e-3
    rolloff = librosa.feature.spectral_rolloff(S=shown**2, sr=RATE_HZ, n_fft=FFT_SAMPLES, roll_percent=0.9)[0]
    np.testing.assert_allclose(column(samples, "rolloff")[loud], (rolloff / (RATE_HZ / 2))[loud], atol=0.011)


def test_crossings_energy_and_entropies_have_their_definitions(
    samples: np.ndarray, frames: np.ndarray, magnitude: np.ndarray
):
    crossings = librosa.zero_crossings(frames, pad=False, zero_pos=True, axis=1).sum(1) / (FFT_SAMPLES - 1)
    np.testing.assert_allclose(column(samples, "zero_crossings"), crossings, atol=1e-6)
    np.testing.assert_allclose(column(samples, "energy"), np.log10((frames**2).mean(1) + 1e-10), atol=1e-4)
    blocks = (frames**2).reshape(COUNT, 10, 40).sum(2) + 1e-10
    np.testing.assert_allclose(column(samples, "energy_entropy"), entropy(blocks, base=2, axis=1), atol=1e-4)
    bands = (magnitude[:, :200] ** 2).reshape(COUNT, 10, 20).sum(2) + 1e-10
    np.testing.assert_allclose(column(samples, "spectral_entropy"), entropy(bands, base=2, axis=1), atol=1e-3)


def test_cepstra_are_the_cosine_transform_of_the_log_bands(samples: np.ndarray, magnitude: np.ndarray):
    bands = np.log10(np.maximum(magnitude @ mel_filters().T, 1e-5))
    theirs = dct(bands, type=2, norm="ortho", axis=1)[:, :13]
    first = SHORT_TERM.index("cepstrum_0")
    np.testing.assert_allclose(short_term(samples)[:, first : first + 13], theirs, atol=2e-3)


def test_a_note_is_found_in_every_octave():
    for midi in (57, 60, 76, 88):  # A3, C4, E5, E6
        hertz = librosa.midi_to_hz(midi)
        tone = np.sin(2 * np.pi * hertz * np.arange(4000) / RATE_HZ).astype(np.float32)
        first = SHORT_TERM.index("chroma_0")
        chroma = short_term(tone)[0, first : first + 12]
        # Bins are 40 Hz wide: below 700 Hz a semitone is finer than they are.
        distance = abs((int(chroma.argmax()) - (midi - 57) + 6) % 12 - 6)
        assert distance <= (2 if hertz < 700 else 0)
        assert chroma.sum() == pytest.approx(1, abs=1e-3)


def test_flux_is_zero_where_nothing_changes():
    steady = np.tile(np.sin(2 * np.pi * np.arange(160) * 8 / 160), 20).astype(np.float32)
    assert np.abs(column(steady, "flux")).max() < 1e-5
    steady[1600:] = 0
    assert column(steady, "flux")[6:11].max() > 0.05


def test_the_84_are_means_slopes_and_deviations_of_twenty_moments(samples: np.ndarray):
    moments = short_term(samples)[1:].astype(float)
    window = moments[5 : 5 + MOMENTS]
    raw = raw_numbers(samples)[5]
    assert SIZE == raw.size == 84
    np.testing.assert_allclose(raw[:34], window.mean(0), atol=1e-6)
    slopes = [linregress(np.arange(MOMENTS), window[:, k]).slope for k in range(34)]
    np.testing.assert_allclose(raw[34:68], slopes, atol=1e-6)
    kept = [*range(8, 21), 1, 3, 6]
    np.testing.assert_allclose(raw[68:], window[:, kept].std(0), atol=1e-6)


def test_a_frame_hears_its_reach_and_no_sample_more():
    rng = np.random.default_rng(1)
    window = (0.1 * rng.standard_normal(BEFORE_SAMPLES + AFTER_SAMPLES)).astype(np.float32)
    assert low_level(window).shape == (1, 84)
    assert low_level(window[:-1]).shape == (0, 84)
    # Symmetric around the frame's time but for the moment before the first, which the first one's flux needs.
    assert BEFORE_SAMPLES - AFTER_SAMPLES == STEP_SAMPLES
    longer = np.concatenate([window, window[:640]])
    np.testing.assert_allclose(low_level(longer, 4)[0], low_level(window)[0], atol=1e-5)


def test_silence_and_the_loudest_noise_are_finite_and_bounded():
    for sound in (np.zeros(4000), np.sign(np.random.default_rng(0).standard_normal(4000)), np.ones(4000)):
        numbers = low_level(sound.astype(np.float32))
        assert np.isfinite(numbers).all() and np.abs(numbers).max() <= 5
