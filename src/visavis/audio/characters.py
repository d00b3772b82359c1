"""The characters that are heard in speech, who hears them, and what of CTC needs no network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

#: 27: the space between words, then the letters. Accents and apostrophes are left out of texts before they get here.
CHARACTERS = " abcdefghijklmnopqrstuvwxyz"
#: Class of CTC's blank in a network's output, after the characters.
BLANK = len(CHARACTERS)
#: Of sound for each row of logits: 40 ms, a frame at 25 fps.
PART_SAMPLES = 640


class Recogniser(Protocol):
    """Whatever gives evidence for characters.

    Attributes:
        reach_samples: how far before and after a part its numbers hear, beyond the 640 samples of the part.
    """

    reach_samples: int

    def logits(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the evidence for each character in each whole part that has its reach on both sides.

        Args:
            samples: ``float32 [N]`` at 16 kHz in [-1, 1]; the first part begins at sample ``reach_samples``.

        Returns:
            ``float32 [P, 27]`` with ``P = (N - 2 reach_samples) // 640``, in the order of :data:`CHARACTERS`: the
            logarithm of how much likelier the character is than CTC's blank, which says "nothing new". The blank
            itself has no number: it would be zero throughout.
        """


def encode(text: str) -> list[int]:
    """Classes of a text, whose characters must be among :data:`CHARACTERS` (else ValueError)."""
    return [CHARACTERS.index(character) for character in text]


def best_path(classes: Iterable[int]) -> str:
    """The text of one class a part: repetitions are one character, and blanks are none (Graves 2006)."""
    text, before = [], BLANK
    for number in classes:
        if number not in (before, BLANK):
            text.append(CHARACTERS[number])
        before = number
    return "".join(text)


def edit_distance(heard: Sequence[object], said: Sequence[object]) -> int:
    """Insertions, deletions and replacements between two sequences, at least (Levenshtein)."""
    row = np.arange(len(said) + 1)
    for index, one in enumerate(heard, 1):
        replaced = row[:-1] + np.array([one != other for other in said], np.int64)
        best: NDArray[np.int64] = np.minimum(replaced, row[1:] + 1)
        # Insertions run along the row: each is one more than the best before it.
        best = np.concatenate([[index], best]) - np.arange(len(said) + 1)
        row = np.minimum.accumulate(best) + np.arange(len(said) + 1)
    return int(row[-1])


def parts_needed(text: str) -> int:
    """Parts of sound that CTC needs at least for a text: one a character, and a blank between equal ones."""
    return len(text) + sum(a == b for a, b in pairwise(text))
