"""Filters and transforms of sound and of statistics that are written out here, against libraries that others trust."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.fft import dct
from scipy.stats import t

from visavis.audio import mfcc as mfcc_module
from visavis.audio.mel import FFT_SAMPLES, MEL_BANDS, RATE_HZ, log_mel, mel_filters
from visavis.audio.mfcc import CEPSTRA, mfcc
from visavis.evaluation.study.tabulate import interval


def test_the_mel_filters_are_those_that_librosa_makes():
    from librosa.filters import mel

    theirs = mel(sr=RATE_HZ, n_fft=FFT_SAMPLES, n_mels=MEL_BANDS, fmin=55.0, fmax=7600.0)
    ours = mel_filters()
    assert ours.dtype == np.float32 and ours.shape == (MEL_BANDS, FFT_SAMPLES // 2 + 1)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-8)


def test_a_tone_is_loudest_in_the_band_around_it():
    """Worked out by hand: 55 Hz is 0.825 mel, 7600 Hz is 44.5; 1000 Hz, 15 mel, is nearest to the peak of band 25."""
    top = 15 + 27 * math.log(7.6) / math.log(6.4)
    band = round((15 - 0.825) / (top - 0.825) * (MEL_BANDS + 1)) - 1
    tone = np.sin(2 * np.pi * 1000 * np.arange(RATE_HZ) / RATE_HZ).astype(np.float32)
    assert band == 25
    assert set(log_mel(tone).argmax(0)) == {band}


def test_cepstra_are_the_orthonormal_cosine_transform_of_the_bands(monkeypatch: pytest.MonkeyPatch):
    """Of noise, with the transform replaced by scipy's."""
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, 4000).astype(np.float32)
    ours = mfcc(samples)
    theirs = dct(np.eye(26), type=2, axis=1, norm="ortho")[:, :CEPSTRA]
    monkeypatch.setattr(mfcc_module, "_cosines", lambda: theirs)
    np.testing.assert_allclose(ours, mfcc(samples), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("count", [2, 3, 4, 5, 8, 30, 31, 200])
def test_an_interval_is_students(count: int):
    values = np.random.default_rng(count).normal(3, 1, count)
    found = interval(values)
    half = t.ppf(0.975, count - 1) * values.std(ddof=1) / math.sqrt(count)
    assert found["high"] == pytest.approx(values.mean() + half)
    assert found["low"] == pytest.approx(values.mean() - half)
