"""What drives the baselines of talking, and how mouths and heads are compared."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from visavis.audio.feature import SoundFeature
from visavis.evaluation.clip import SIZE
from visavis.face.mesh import LIPS
from visavis.face.model3d import load_face_model
from visavis.face.morphable import align
from visavis.motion.kind import Mesh
from visavis.motion.speech.spoken import REST_CAMERA, Spoken
from visavis.motion.spoken_face import reposed
from visavis.pipelines.actor import camera_of
from visavis.pipelines.speaks import Rhythmic, Voice

Array = NDArray[np.float32]
_LIPS = list(LIPS)
_KNOWN_EVERY = 3


class RestingSpeaker:
    """Keeps :class:`visavis.pipelines.speaks.Speaks` and says nothing: a face at rest.

    Args:
        hears: what another speaker hears, so that both are given the same.
    """

    def __init__(self, hears: SoundFeature) -> None:
        self.hears = hears

    def rhythm_of(self, cameras: Array, heard: Array) -> Rhythmic:
        """None: nothing moves."""

    def speaking(self, identity: Array, *, rhythm: Rhythmic = None, seed: int = 0, head: bool = True) -> Voice:
        """One who is silent."""
        return _Silent()


class _Silent:
    def next(self, heard: Array | None) -> Spoken:
        return Spoken(
            np.zeros(len(load_face_model().expression), np.float32), REST_CAMERA, np.zeros((2, 2), np.float32)
        )


class Sentence:
    """Meshes of another sentence, played over and over; :class:`visavis.pipelines.talking.Played`."""

    def __init__(self, meshes: Sequence[Mesh]) -> None:
        self._meshes = meshes

    def endless(self) -> Iterator[Mesh]:
        """The meshes, again and again."""
        while True:
            yield from self._meshes

    def heads(self) -> Iterator[Array]:
        """Heads at rest: the face alone is played."""
        while True:
            yield REST_CAMERA

    def resting_meshes(self) -> Sequence[Mesh]:
        """Every third of them with a head at rest."""
        return [reposed(mesh, camera_of(mesh), REST_CAMERA) for mesh in self._meshes[::_KNOWN_EVERY]]


def mouth_apart(pairs: Iterable[tuple[Mesh, Mesh]], own: Mesh) -> float | None:
    """Mean distance of the lips' points in pixels at 256, heads put over each other; None without pairs.

    Each mesh ``[478, 3]`` of a pair is laid over ``own``, the person's first mesh, by what is rigid in faces; so
    neither the head's pose nor its size counts.
    """
    found = [np.linalg.norm(_laid(made, own) - _laid(true, own), axis=1).mean() for made, true in pairs]
    return float(np.mean(found)) * SIZE / 2 if found else None


def _laid(mesh: Mesh, own: Mesh) -> Array:
    """Lips ``[40, 2]`` of a mesh laid over another."""
    scale, rotation, shift = align(mesh, own)
    return np.asarray(((mesh - shift) @ rotation / scale)[_LIPS, :2], np.float32)


@dataclass(frozen=True)
class HeadMotion:
    """How a head moves.

    Attributes:
        amplitude: standard deviation of its turns about all axes, in degrees.
        speed: mean change of turn from frame to frame, in degrees a second.
    """

    amplitude: float
    speed: float

    @classmethod
    def of(cls, cameras: Array) -> HeadMotion:
        """Of cameras ``float32 [T, 6]`` at 25 frames a second."""
        turns = np.degrees(cameras[:, 3:6].astype(np.float64))
        amplitude = float(np.sqrt(turns.var(0).sum()))
        return cls(amplitude, float(np.linalg.norm(np.diff(turns, axis=0), axis=1).mean() * 25))

    @classmethod
    def mean(cls, many: Sequence[HeadMotion]) -> HeadMotion:
        """The geometric mean of several people's."""
        logs = np.log(np.maximum([(one.amplitude, one.speed) for one in many], 1e-6)).mean(0)
        return cls(float(np.exp(logs[0])), float(np.exp(logs[1])))
