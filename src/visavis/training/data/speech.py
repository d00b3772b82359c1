"""Stretches of speech with their words, in ever other rooms, through ever other microphones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from visavis.audio.characters import BLANK, PART_SAMPLES, encode
from visavis.audio.mel import RATE_HZ, log_mel
from visavis.core.errors import DataError
from visavis.data.spoken import Utterance, expanded, read_spoken
from visavis.training.data.rooms import masked, recorded, shifted
from visavis.training.task import TensorBatch

_GAP_S = (0.08, 0.6)
_STRETCH = 0.1
_LEVELS = np.float32(255)


@dataclass(frozen=True)
class SpeechBatch(TensorBatch):
    """B stretches of P parts.

    Attributes:
        mel: ``float32 [B, 80, M]`` in [0, 1], with the reach that the first and the last part hear beyond the stretch.
        text: ``int64 [B, L]``, classes of the characters that are said, then blanks.
    """

    mel: Tensor
    text: Tensor


def load_speech(folder: Path, split: str) -> list[Utterance]:
    """The utterances of a split.

    Raises:
        DataError: there are none, or a file is damaged.
    """
    found = [utterance for utterance in read_spoken(folder) if utterance.split == split]
    if not found:
        raise DataError(f"{folder}: no speech of split '{split}'")
    return found


class Speech:
    """Draws stretches: utterances one after the other, as many as fit, with pauses between.

    Batch ``step`` depends on the seed and the step alone.

    Args:
        utterances: from :func:`load_speech`.
        parts: P, of 40 ms.
        reach_samples: that the network hears on either side of a part.
        varied: how strongly room, microphone and surroundings disturb at most, from 0 for the synthesiser's own sound
            to 1; each stretch draws a strength up to it, so that easy ones are always among them.
        stretches: how many there are to draw from. Their spectrograms are kept once they are made, 36 kB each, and
            changed a little whenever they are drawn: making them costs as much as learning from them.
        seed: of everything random.
    """

    def __init__(
        self,
        utterances: list[Utterance],
        *,
        parts: int,
        reach_samples: int,
        varied: float,
        stretches: int,
        seed: int = 0,
    ) -> None:
        self.utterances, self.parts, self.reach_samples = utterances, parts, reach_samples
        self.varied, self.stretches, self.seed = varied, stretches, seed
        self._made: dict[int, tuple[NDArray[np.uint8], list[int]]] = {}
        most = parts * PART_SAMPLES / (1 + _STRETCH)
        self._fitting = [number for number, spoken in enumerate(utterances) if len(spoken.sound) <= most]
        if not self._fitting:
            raise DataError(f"every utterance is longer than a stretch of {parts} parts of 40 ms")

    def batch(self, step: int, count: int) -> SpeechBatch:
        """Return batch number ``step`` of ``count`` stretches."""
        rng = np.random.default_rng([self.seed, step])
        rows = [self._drawn(rng) for _ in range(count)]
        length = max(1, *(len(text) for _, text in rows))
        texts = [text + [BLANK] * (length - len(text)) for _, text in rows]
        return SpeechBatch(torch.from_numpy(np.stack([mel for mel, _ in rows])), torch.tensor(texts))

    def _drawn(self, rng: np.random.Generator) -> tuple[NDArray[np.float32], list[int]]:
        number = int(rng.integers(self.stretches))
        if number not in self._made:
            self._made[number] = self._stretch(number)
        levels, text = self._made[number]
        mel = levels.astype(np.float32) / _LEVELS
        return masked(shifted(mel, rng), rng) if self.varied else mel, text

    def _stretch(self, number: int) -> tuple[NDArray[np.uint8], list[int]]:
        """Spectrogram and text of a stretch, which depend on the seed and its number alone."""
        rng = np.random.default_rng([self.seed, number, 1])
        samples, text = self._said(rng)
        if self.varied:
            samples = recorded(samples, self._one(rng), self.varied * rng.random(), rng)
        return np.rint(log_mel(samples) * _LEVELS).astype(np.uint8), encode(text)

    def _said(self, rng: np.random.Generator) -> tuple[NDArray[np.float32], str]:
        """Samples of a stretch with its reach, and its words."""
        length = self.parts * PART_SAMPLES
        out = np.zeros(length + 2 * self.reach_samples, np.float32)
        texts: list[str] = []
        at = self.reach_samples
        while True:
            utterance = self.utterances[self._fitting[int(rng.integers(len(self._fitting)))]]
            spoken = _stretched(expanded(utterance.sound), rng.uniform(1 - _STRETCH, 1 + _STRETCH))
            gap = int(rng.uniform(*_GAP_S) * RATE_HZ) if texts else 0
            left = self.reach_samples + length - at - gap - len(spoken)
            if left < 0:
                break
            at += gap
            out[at : at + len(spoken)] = spoken
            at += len(spoken)
            texts.append(utterance.text)
        # The silence that is left over goes before the first word as often as after the last.
        late = int(rng.integers(self.reach_samples + length - at + 1))
        return np.roll(out, late), " ".join(texts)

    def _one(self, rng: np.random.Generator) -> NDArray[np.float32]:
        """Somebody who talks beside."""
        return expanded(self.utterances[int(rng.integers(len(self.utterances)))].sound)


def _stretched(samples: NDArray[np.float32], factor: float) -> NDArray[np.float32]:
    """Played slower (factor above 1) or faster, pitch and all: another size of throat."""
    count = int(len(samples) * factor)
    return np.interp(np.arange(count) / factor, np.arange(len(samples)), samples).astype(np.float32)
