"""What drives the baselines of talking, and how mouths and heads are compared."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visavis.audio.feature import SoundFeature
from visavis.evaluation.clip import SIZE
from visavis.face.fitting import fit_clip
from visavis.face.gaze import gaze_of
from visavis.face.mesh import LIPS
from visavis.face.model3d import load_face_model
from visavis.face.morphable import align
from visavis.motion.kind import Mesh
from visavis.motion.speech.head import HEAD_SCALE
from visavis.motion.speech.spoken import REST_CAMERA, Spoken
from visavis.motion.spoken_face import Sitter
from visavis.pipelines.speaks import Rhythmic, Voice

Array = NDArray[np.float32]
_LIPS = list(LIPS)


class RestingSpeaker:
    """Keeps :class:`visavis.pipelines.speaks.Speaks` and says nothing: a face at rest.

    Args:
        hears: what another speaker hears, so that both are given the same.
    """

    def __init__(self, hears: SoundFeature) -> None:
        self.hears = hears

    def rhythm_of(self, cameras: Array, heard: Array, opened: Array | None = None) -> Rhythmic:
        """None: nothing moves."""

    def speaking(self, identity: Array, *, rhythm: Rhythmic = None, seed: int = 0, head: bool = True) -> Voice:
        """One who is silent."""
        return _Silent()


class _Silent:
    def next(self, heard: Array | None) -> Spoken:
        return Spoken(
            np.zeros(len(load_face_model().expression), np.float32), REST_CAMERA, np.zeros((2, 2), np.float32)
        )


class SentenceSpeaker:
    """Keeps the same contract, and moves by what was said in another sentence, over and over.

    Args:
        hears: what another speaker hears.
        meshes: of the person who says it; its change from rest is what is spoken, as of any speaker.
    """

    def __init__(self, hears: SoundFeature, meshes: Sequence[Mesh]) -> None:
        self.hears = hears
        rest = Sitter(meshes).usual
        fit = fit_clip(np.stack(meshes))
        gazes = gaze_of(np.stack(meshes), fit.camera)
        self._spoken = [
            Spoken(expression - rest, REST_CAMERA, gaze) for expression, gaze in zip(fit.expression, gazes, strict=True)
        ]

    def rhythm_of(self, cameras: Array, heard: Array, opened: Array | None = None) -> Rhythmic:
        """None: the head rests."""

    def speaking(self, identity: Array, *, rhythm: Rhythmic = None, seed: int = 0, head: bool = True) -> Voice:
        """One who says it."""
        return _Played(self._spoken)


class _Played:
    def __init__(self, spoken: Sequence[Spoken]) -> None:
        self._spoken, self._number = spoken, -1

    def next(self, heard: Array | None) -> Spoken:
        self._number += 1
        return self._spoken[self._number % len(self._spoken)]


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


def head_facts(cameras: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Logarithms ``[30]``: amplitude of each number of a camera, of its speed, and in three bands of frequency."""
    head = cameras.astype(np.float64) / np.array(HEAD_SCALE)
    head = head - head.mean(0)
    # Trackers tremble: speeds are those of means of three frames.
    smooth = (head[2:] + head[1:-1] + head[:-2]) / 3
    line = np.linspace(-1, 1, len(head))[:, None]
    flat = head - line * (line * head).sum(0) / (line * line).sum()
    power = np.square(np.abs(np.fft.rfft(flat * np.hanning(len(flat))[:, None], axis=0))) / len(flat)
    hertz = np.fft.rfftfreq(len(flat), 0.04)
    bands = [power[(hertz >= low) & (hertz < high)].mean(0) for low, high in ((0.3, 0.8), (0.8, 1.6), (1.6, 3.2))]
    sizes = [head.std(0), np.diff(smooth, axis=0).std(0), *[np.sqrt(band) for band in bands]]
    return np.asarray(np.log(np.concatenate(sizes) + 1e-3), np.float64)
