"""What a speaker hears around a frame: 0.28 s of spectrogram, and the numbers of speech or the samples."""

from __future__ import annotations

from fractions import Fraction
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from visavis.audio.mel import FFT_SAMPLES, MEL_BANDS, RATE_HZ, STEP_SAMPLES, log_mel
from visavis.audio.speech import SIZE as SPEECH_NUMBERS
from visavis.audio.speech import SpeechFeatures

Array = NDArray[np.float32]
Kind = Literal["raw", "mel", "speech", "both"]

#: The paper's ``x_{t-3:t+4}``: seven frames of 40 ms, of which the middle one begins 20 ms before its frame's time.
FRAMES_HEARD = 7
FRAME_SAMPLES = 640
_STEPS_A_FRAME = FRAME_SAMPLES // STEP_SAMPLES
#: Columns of the spectrogram are averaged in pairs.
STEPS = FRAMES_HEARD * _STEPS_A_FRAME // 2
MEL_NUMBERS = MEL_BANDS * STEPS
RAW_NUMBERS = FRAMES_HEARD * FRAME_SAMPLES
_MEL_SAMPLES = (FRAMES_HEARD * _STEPS_A_FRAME - 1) * STEP_SAMPLES + FFT_SAMPLES
_MEL_LEAD = _MEL_SAMPLES // 2
#: Middle and spread of the spectrogram of speech, and of the numbers of speech.
_LEVEL, _SPREAD, _SPEECH_SPREAD = 0.4, 0.25, 2.0


class SpeakerSound:
    """A speaker's feature; keeps the contract of :class:`visavis.audio.feature.SoundFeature`.

    Layout: the spectrogram's 80 bands times 14 steps of 20 ms, band by band, of about unit scale; then what ``kind``
        adds.

    Args:
        kind: ``mel`` is the spectrogram alone; ``speech`` and ``both`` bring the 300 numbers of
            :mod:`visavis.audio.speech`; ``raw`` the 4480 samples.
        features: makes the numbers of speech; the packaged recogniser's by default, loaded when it is first needed.
    """

    rate_hz = RATE_HZ

    def __init__(self, kind: Kind = "both", features: SpeechFeatures | None = None) -> None:
        self.kind = kind
        self._given = features
        self.shape = (numbers_heard(kind),)

    @cached_property
    def features(self) -> SpeechFeatures:
        """What makes the numbers of speech."""
        return self._given or SpeechFeatures.load()

    @property
    def _speech(self) -> bool:
        return self.kind in ("speech", "both")

    @property
    def _lead(self) -> int:
        return max(_MEL_LEAD, self.features.before_samples) if self._speech else _MEL_LEAD

    @property
    def before_s(self) -> Fraction:
        """Seconds before a frame's time."""
        return Fraction(self._lead, RATE_HZ)

    @property
    def after_s(self) -> Fraction:
        """Seconds after a frame's time: what a stream of speech waits for."""
        after = max(_MEL_SAMPLES - _MEL_LEAD, self.features.after_samples) if self._speech else _MEL_LEAD
        return Fraction(after, RATE_HZ)

    def compute(self, samples: Array) -> Array:
        """Return ``float32 [n]`` of the window around one frame's time."""
        lead = self._lead
        near = samples[lead - _MEL_LEAD : lead - _MEL_LEAD + _MEL_SAMPLES]
        parts = [_pairs(log_mel(near)[None])[0]]
        if self._speech:
            before = self.features.before_samples
            parts.append(
                self.features.compute(samples[lead - before : lead - before + self.features.window_samples])
                / _SPEECH_SPREAD
            )
        if self.kind == "raw":
            parts.append(samples[lead - RAW_NUMBERS // 2 : lead + RAW_NUMBERS // 2])
        return np.concatenate(parts).astype(np.float32)

    def of_clip(self, samples: Array, frames: int) -> Array:
        """Return ``float32 [frames, n]`` of a whole clip at 25 fps; before and after it there is silence.

        Args:
            samples: ``float32 [N]`` at 16 kHz in [-1, 1]; frame k's time is that of sample ``640 k``.
            frames: how many.
        """
        whole = np.zeros(FRAME_SAMPLES * frames + 2 * _MEL_SAMPLES, np.float32)
        whole[_MEL_LEAD : _MEL_LEAD + len(samples)] = samples[: len(whole) - _MEL_LEAD]
        columns = log_mel(whole)
        wide = np.lib.stride_tricks.sliding_window_view(columns, FRAMES_HEARD * _STEPS_A_FRAME, 1)
        parts = [_pairs(wide[:, ::_STEPS_A_FRAME][:, :frames].transpose(1, 0, 2))]
        if self._speech:
            parts.append(self.features.of_clip(samples, frames) / _SPEECH_SPREAD)
        if self.kind == "raw":
            first = _MEL_LEAD - RAW_NUMBERS // 2
            chunks = np.lib.stride_tricks.sliding_window_view(whole[first:], RAW_NUMBERS)
            parts.append(chunks[::FRAME_SAMPLES][:frames])
        return np.concatenate(parts, 1).astype(np.float32)

    def silence(self) -> Array:
        """What it gives of silence."""
        return self.compute(np.zeros(round((self.before_s + self.after_s) * RATE_HZ), np.float32))


def numbers_heard(kind: Kind) -> int:
    """How many numbers a frame has."""
    return MEL_NUMBERS + {"raw": RAW_NUMBERS, "mel": 0, "speech": SPEECH_NUMBERS, "both": SPEECH_NUMBERS}[kind]


def _pairs(windows: Array) -> Array:
    """Spectrograms ``[T, 80, 28]`` in [0, 1] as numbers ``[T, 1120]``."""
    halved = windows.reshape(len(windows), MEL_BANDS, STEPS, 2).mean(3)
    return np.asarray((halved - _LEVEL) / _SPREAD, np.float32).reshape(len(windows), MEL_NUMBERS)
