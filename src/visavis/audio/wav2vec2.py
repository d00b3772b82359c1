"""A larger recogniser in place of ours: wav2vec 2.0 with a CTC head (Baevski et al. 2020), if its weights are at hand.

It looks at the whole of what it is given, so that each part is given to it by itself, with a second to either side:
slow, and the same for a stream and for a whole clip. Nothing is downloaded.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from visavis.audio.characters import CHARACTERS, PART_SAMPLES
from visavis.core.errors import WeightsError

_REACH_SAMPLES = 16_000
_STRIDE, _FIELD = 320, 400  # samples from one output to the next, and that each of them sees first
_AT_A_TIME = 16
_TINY = 1e-7


class Wav2Vec2Recogniser:
    """Keeps the contract of :class:`visavis.audio.characters.Recogniser`.

    Args:
        folder: of the model as transformers saves it: ``config.json``, ``vocab.json`` and the weights, with the Latin
            letters in its vocabulary.

    Raises:
        WeightsError: transformers is not installed, or the folder lacks something.
    """

    reach_samples = _REACH_SAMPLES

    def __init__(self, folder: Path) -> None:
        try:
            from transformers import Wav2Vec2ForCTC
        except ImportError as error:
            raise WeightsError(f"{folder}: wav2vec 2.0 needs transformers (pip install transformers)") from error
        try:
            vocabulary = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
            self.network = Wav2Vec2ForCTC.from_pretrained(folder, local_files_only=True).eval().requires_grad_(False)
        except (OSError, ValueError) as error:
            why = str(error).partition("\n")[0][:200]
            raise WeightsError(f"{folder}: is no wav2vec 2.0 model with a CTC head ({why})") from error
        self._classes = _classes(vocabulary, folder)
        self._blank = int(self.network.config.pad_token_id)

    def logits(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Evidence ``float32 [P, 27]``; of a part's two outputs the likelihoods are added."""
        length = PART_SAMPLES + 2 * _REACH_SAMPLES
        parts = max((len(samples) - 2 * _REACH_SAMPLES) // PART_SAMPLES, 0)
        out = np.zeros((parts, len(CHARACTERS)), np.float32)
        for first in range(0, parts, _AT_A_TIME):
            count = min(_AT_A_TIME, parts - first)
            windows = np.stack([samples[PART_SAMPLES * p :][:length] for p in range(first, first + count)])
            out[first : first + count] = self._heard(windows)
        return out

    def _heard(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        plain = (windows - windows.mean(1, keepdims=True)) / np.sqrt(windows.var(1, keepdims=True) + _TINY)
        with torch.inference_mode():
            scores = self.network(torch.from_numpy(plain.astype(np.float32))).logits.float().log_softmax(2)
            # Outputs whose middle lies within the part.
            begin = -(-(_REACH_SAMPLES - _FIELD // 2) // _STRIDE)
            end = -(-(_REACH_SAMPLES + PART_SAMPLES - _FIELD // 2) // _STRIDE)
            likely = scores[:, begin:end].logsumexp(1)
            return np.asarray((likely[:, self._classes] - likely[:, self._blank : self._blank + 1]).numpy())


def _classes(vocabulary: Any, folder: Path) -> list[int]:
    """The model's class of each of our characters; its space is a bar, and its letters may be capitals."""
    known = {str(key).lower(): value for key, value in vocabulary.items()} if isinstance(vocabulary, dict) else {}
    classes = [known.get("|" if character == " " else character) for character in CHARACTERS]
    missing = [character for character, number in zip(CHARACTERS, classes, strict=True) if not isinstance(number, int)]
    if missing:
        raise WeightsError(f"{folder}: its vocabulary lacks {', '.join(map(repr, missing[:3]))}")
    return [int(number) for number in classes if number is not None]
