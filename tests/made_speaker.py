"""A speaker without weights: the louder it is, the wider the jaw opens; the head sways by the clock."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from visavis.face.model3d import load_face_model
from visavis.motion.amounts import Edits
from visavis.motion.edits import edited_shape
from visavis.motion.morphable_kind import MorphableKind
from visavis.motion.speech.spoken import REST_CAMERA, Spoken

Array = NDArray[np.float32]
_LOUD, _SWAY = 0.12, 0.1


class Loudness:
    """How loud it is around a frame."""

    rate_hz = 16_000
    before_s, after_s = Fraction(1, 50), Fraction(3, 50)
    shape = (1,)

    def compute(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.array([np.sqrt(np.mean(samples**2))], np.float32)


def opened(identity: Array) -> Array:
    """Change of expression that opens the mouth."""
    face = load_face_model()
    kind = MorphableKind(len(face.identity), len(face.expression), face)
    space = kind.space_of_identity(identity)
    assert space is not None
    rest = np.zeros(len(face.expression))
    return np.asarray(
        edited_shape(space, rest, Edits(mouth=0.7)) - edited_shape(space, rest, Edits(mouth=-1)), np.float32
    )


class LoudSpeaker:
    """Keeps the contract of :class:`visavis.pipelines.speaks.Speaks`; remembers what it was told."""

    hears = Loudness()

    def __init__(self) -> None:
        self.asked: list[dict[str, object]] = []
        self.references: list[tuple[tuple[int, ...], ...]] = []

    def rhythm_of(self, cameras: Array, heard: Array, opened: Array | None = None) -> float:
        self.references.append((cameras.shape, heard.shape, () if opened is None else opened.shape))
        return float(np.ptp(cameras[:, 4]))

    def speaking(self, identity: Array, *, rhythm: float | None = None, seed: int = 0, head: bool = True) -> LoudVoice:
        self.asked.append({"rhythm": rhythm, "seed": seed, "head": head})
        return LoudVoice(identity, seed, head)


class LoudVoice:
    """One person of that speaker."""

    def __init__(self, identity: Array, seed: int, head: bool) -> None:
        self._opened, self._seed, self._head = opened(identity), seed, head
        self.number = 0
        self.heard: list[float] = []

    def next(self, heard: Array | None) -> Spoken:
        loud = 0.0 if heard is None else float(heard[0])
        self.heard.append(loud)
        camera = REST_CAMERA.copy()
        if self._head:
            camera[4] = _SWAY * np.sin(self.number / 12 + self._seed)
        self.number += 1
        expression = min(loud / _LOUD, 1.0) * self._opened
        return Spoken(np.asarray(expression, np.float32), camera, np.zeros((2, 2), np.float32))
