"""The sound of a frame as HeadGAN hears it: 84 low-level numbers and 2L x 27 of characters (section 3.2).

The sound around a frame's time is cut into 2L = 8 parts of 40 ms, four before and four after. A recogniser gives each
part its evidence for 27 characters; the low-level numbers describe the middle. A frame's numbers depend on the
samples from :attr:`SpeechFeatures.before_s` before its time to :attr:`SpeechFeatures.after_s` after it, and on nothing
else.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from visavis.audio import low_level
from visavis.audio.characters import CHARACTERS, PART_SAMPLES, Recogniser
from visavis.audio.mel import RATE_HZ, STEP_SAMPLES

#: L of the paper: parts before the frame's time, and after it.
PARTS = 4
_CHARACTER_NUMBERS = 2 * PARTS * len(CHARACTERS)
SIZE = low_level.SIZE + _CHARACTER_NUMBERS
#: Middle and spread of what our recogniser says of the training speech of docs/data.md.
_LOGIT_CENTRE, _LOGIT_SCALE = -6.5, 4.5
_MOST = 5.0
_MOST_PHASES = 8


class SpeechFeatures:
    """Turns sound into 300 numbers a frame, of about unit scale and within [-5, 5].

    Layout of the 300: the 84 of :func:`visavis.audio.low_level.low_level`, then eight times the 27 characters of
    :data:`visavis.audio.characters.CHARACTERS`, the earliest part first.

    Args:
        recogniser: gives the evidence for characters.

    Attributes:
        rate_hz: of the samples, 16 kHz.
        shape, size: of a frame's numbers.
        before_samples, after_samples: how many samples before and after a frame's time are heard.
        before_s, after_s: the same in seconds, exact.
    """

    rate_hz = RATE_HZ
    size = SIZE
    shape = (SIZE,)

    def __init__(self, recogniser: Recogniser) -> None:
        self.recogniser = recogniser
        reach = PARTS * PART_SAMPLES + recogniser.reach_samples
        self.before_samples = max(reach, low_level.BEFORE_SAMPLES)
        self.after_samples = max(reach, low_level.AFTER_SAMPLES)
        self.before_s = Fraction(self.before_samples, RATE_HZ)
        self.after_s = Fraction(self.after_samples, RATE_HZ)

    @classmethod
    def load(cls, weights: Path | None = None) -> SpeechFeatures:
        """With our recogniser, of a file of weights or packaged, computed by torch.

        Raises:
            WeightsError: no such weights, or damaged ones.
        """
        from visavis.audio.recogniser import CharacterRecogniser

        return cls(CharacterRecogniser.load(weights))

    @property
    def window_samples(self) -> int:
        """Samples that :meth:`compute` takes."""
        return self.before_samples + self.after_samples

    def compute(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return ``float32 [300]`` of the window around one frame's time.

        Args:
            samples: ``float32 [window_samples]`` in [-1, 1]; the frame's time is that of sample ``before_samples``.
                Zeros where nothing is heard.

        Raises:
            ValueError: another number of samples.
        """
        if samples.shape != (self.window_samples,):
            raise ValueError(f"a frame's sound must be {self.window_samples} samples, got {samples.shape}")
        return self._grid(np.asarray(samples, np.float32), 1)[0]

    def at(self, window_samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """The same as :meth:`compute`."""
        return self.compute(window_samples)

    def of_clip(self, samples: NDArray[np.float32], frames: int, fps: Fraction | float = 25) -> NDArray[np.float32]:
        """Return ``float32 [frames, 300]`` of a whole clip; before and after it there is silence.

        Args:
            samples: ``float32 [N]`` at 16 kHz in [-1, 1]; frame k's time is that of sample ``round(16000 k / fps)``.
            frames: how many frames.
            fps: their rate.
        """
        times = [round(Fraction(RATE_HZ * k) / Fraction(fps)) for k in range(frames)]
        if not times:
            return np.zeros((0, SIZE), np.float32)
        whole = np.zeros(times[-1] + self.window_samples + PART_SAMPLES, np.float32)
        heard = np.asarray(samples, np.float32)[: len(whole) - self.before_samples]
        whole[self.before_samples : self.before_samples + len(heard)] = heard
        phases = np.array(times) % PART_SAMPLES
        if len(np.unique(phases)) > _MOST_PHASES:
            return np.stack([self._grid(whole[at : at + self.window_samples], 1)[0] for at in times])
        out = np.empty((frames, SIZE), np.float32)
        for phase in np.unique(phases):
            # Frames whose times lie whole parts apart share the parts between them.
            chosen = np.flatnonzero(phases == phase)
            rows = (np.array(times)[chosen] - phase) // PART_SAMPLES
            out[chosen] = self._grid(whole[phase:], int(rows[-1]) + 1)[rows]
        return out

    def _grid(self, samples: NDArray[np.float32], count: int) -> NDArray[np.float32]:
        """Numbers of ``count`` frames 40 ms apart; the first one's time is that of sample ``before_samples``."""
        last = (count - 1) * PART_SAMPLES
        first = self.before_samples - low_level.BEFORE_SAMPLES
        low = low_level.low_level(
            samples[first : self.before_samples + last + low_level.AFTER_SAMPLES], PART_SAMPLES // STEP_SAMPLES
        )
        reach = PARTS * PART_SAMPLES + self.recogniser.reach_samples
        logits = self.recogniser.logits(samples[self.before_samples - reach : self.before_samples + last + reach])
        scaled = np.clip((logits - _LOGIT_CENTRE) / _LOGIT_SCALE, -_MOST, _MOST)
        # sliding_window_view puts the parts of a frame last; they go before the characters.
        parts = np.lib.stride_tricks.sliding_window_view(scaled, 2 * PARTS, 0).transpose(0, 2, 1)
        return np.concatenate([low, parts.reshape(count, _CHARACTER_NUMBERS)], 1).astype(np.float32)
