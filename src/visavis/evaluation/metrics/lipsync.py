"""Do the lips move with the sound? SyncNet's confidence and distance (Chung & Zisserman 2016).

Mouth and sound of every 0.2 s become vectors. The mean distance of mouths and sounds is taken at every offset from -15
to 15 frames; the smallest is the *distance*, where it lies is the *offset*, and how far it lies below the median of
the 31 is the *confidence*. Two networks can do it: the authors', from a file of the user's own, and ``sync-96``, which
is packaged. Their numbers have different scales and carry different names.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from visavis.audio.mel import RATE_HZ
from visavis.core.errors import DataError
from visavis.evaluation.metrics.sync_networks import Pictures, Points, Samples, SyncEmbedder, load_embedder
from visavis.judges.syncnet import REACH, offset_distances
from visavis.weights.store import resolve

DEFAULT = "sync-96"
FPS = 25
#: So that some windows still overlap at the largest offset.
SHORTEST = 2 * REACH
_SAMPLES_A_FRAME = RATE_HZ // FPS


@dataclass(frozen=True)
class SyncScore:
    """How well lips and sound of a clip go together.

    Attributes:
        confidence: median of the distances at all offsets minus the smallest; larger is better, 0 is no idea at all.
        distance: the smallest mean distance; smaller is better.
        offset: where it is, -15 to 15 frames of 40 ms. Positive: the sound comes too early by so much.
        at_zero: the median minus the distance at offset 0. Unlike the confidence, which looks for the best offset, it
            falls when the sound is shifted.
    """

    confidence: float
    distance: float
    offset: int
    at_zero: float


class SyncScorer:
    """Scores clips with one network.

    Args:
        embedder: the network.
    """

    def __init__(self, embedder: SyncEmbedder) -> None:
        self._embedder = embedder
        self.name = embedder.name

    @classmethod
    def load(cls, path: Path | None = None) -> SyncScorer:
        """Load a scorer.

        Args:
            path: the published ``syncnet_v2.model`` or its table as safetensors, or weights of our own; None takes
                those of ours that are packaged.

        Raises:
            WeightsError: no such file, damaged, of another network, or holding more than tensors.
        """
        return cls(load_embedder(resolve(DEFAULT) if path is None else path))

    def score(self, pictures: Pictures, mouths: Points, sound: Samples) -> SyncScore:
        """Score one clip.

        Args:
            pictures: ``uint8 [T, S, S, 3]`` RGB, consecutive at 25 fps; T is 30 or more.
            mouths: ``float32 [T, 478, 2]``, the face mesh of each picture in pixels from the picture's edges.
            sound: ``float32 [N]``, 16 kHz mono, from the first picture's time on; at most one frame may be missing at
                the end, and is silence.

        Raises:
            DataError: too short, or arrays that do not fit each other.
        """
        return judge(self.distances(pictures, mouths, sound))

    def distances(self, pictures: Pictures, mouths: Points, sound: Samples) -> NDArray[np.float64]:
        """Return the mean distance at each offset, ``float64 [31]``; arguments as for :meth:`score`."""
        _check(pictures, mouths, sound)
        seen, heard = self._embedder.embed(pictures, mouths, sound)
        return offset_distances(seen, heard, zeros=self._embedder.meets_zeros).numpy()


def judge(distances: NDArray[np.float64]) -> SyncScore:
    """Read the score off the 31 distances."""
    best, median = int(distances.argmin()), float(np.median(distances))
    least = float(distances[best])
    return SyncScore(median - least, least, best - REACH, median - float(distances[REACH]))


def _check(pictures: Pictures, mouths: Points, sound: Samples) -> None:
    if len(pictures) < SHORTEST:
        raise DataError(f"{len(pictures)} frames are too few to judge lip sync; it takes {SHORTEST} (1.2 s)")
    if len(mouths) != len(pictures):
        raise DataError(f"{len(pictures)} pictures but {len(mouths)} face meshes; lip sync needs one of each a frame")
    if len(sound) < (len(pictures) - 1) * _SAMPLES_A_FRAME:
        raise DataError(
            f"{len(sound) / RATE_HZ:.2f} s of sound for {len(pictures) / FPS:.2f} s of pictures; lip sync needs as much"
        )
