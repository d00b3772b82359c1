"""How a rendered face moves beside its driver, from meshes of consecutive frames; needs no network.

After THEval (Quignon et al. 2026), whose measures of head, lip and eyebrow dynamics agree with people where distances
of frames do not. Theirs compare one number a video; these compare spectra of speed, so that too little movement, too
much, and jitter all lower the score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.evaluation.metrics.opening import lid_opening
from visavis.face.mesh import EYES_APART, LEFT_BROW, LEFT_EYE, LIP_PAIRS, RIGHT_BROW, RIGHT_EYE, mean_gap
from visavis.face.morphable import align

Array = NDArray[np.float32]
Track = NDArray[np.float64]

_LIP_CORNERS = (61, 291)
_CLOSED_SHARE = 0.6
_LOWEST_OPEN = 0.1
_REACH = 3


def eye_distance(mesh: Array) -> float:
    """Distance between the eyes' outer corners: the unit of length here."""
    first, second = (mesh[i].astype(np.float64) for i in EYES_APART)
    return max(float(np.linalg.norm(first - second)), 1e-6)


def head_track(meshes: Sequence[Array]) -> Track:
    """Head pose over time ``float64 [T, 5]``: rotation vector in radians, place of the head in eye distances."""
    first = meshes[0]
    unit = eye_distance(first)
    rows = []
    for mesh in meshes:
        scale, rotation, shift = align(mesh, first)
        turn = cv2.Rodrigues(rotation.astype(np.float64))[0][:, 0]
        middle = scale * rotation @ first.mean(0) + shift
        rows.append([*turn, *(middle[:2] / unit)])
    return np.array(rows, np.float64)


def lip_track(meshes: Sequence[Array]) -> Track:
    """Mouth over time ``float64 [T, 2]``: mean gap of the inner lips and width, in eye distances."""
    rows = []
    for mesh in meshes:
        unit = eye_distance(mesh)
        rows.append([mean_gap(mesh, pairs) / unit for pairs in (LIP_PAIRS, (_LIP_CORNERS,))])
    return np.array(rows, np.float64)


def brow_track(meshes: Sequence[Array]) -> Track:
    """Height of each brow over its eye through time ``float64 [T, 2]``, in eye distances."""
    rows = []
    for mesh in meshes:
        pairs = ((LEFT_BROW, LEFT_EYE), (RIGHT_BROW, RIGHT_EYE))
        heights = [np.linalg.norm(mesh[list(brow)].mean(0) - mesh[list(eye)].mean(0)) for brow, eye in pairs]
        rows.append(np.array(heights) / eye_distance(mesh))
    return np.array(rows, np.float64)


TRACKS = {"head_dynamics": head_track, "lip_dynamics": lip_track, "brow_dynamics": brow_track}


def spectral_agreement(made: Track, real: Track) -> float:
    """How much of two tracks' speed spectra is shared, in [0, 1].

    Speeds are differences of consecutive frames; their amplitude spectra (Hann window) are compared frequency by
    frequency as sum of minima over sum of maxima. A still track beside a moving one scores 0, two still ones 1.

    Args:
        made, real: ``float64 [T, D]`` of the same times.
    """
    spectra = []
    for track in (made, real):
        speed = np.diff(track, axis=0)
        spectra.append(np.abs(np.fft.rfft(speed * np.hanning(len(speed) + 2)[1:-1, None], axis=0)))
    most = np.maximum(*spectra).sum()
    return float(np.minimum(*spectra).sum() / most) if most > 1e-12 else 1.0


@dataclass(frozen=True)
class Blinks:
    """Blinks in a window of two tracks, to be added up over clips.

    Attributes:
        made, real: how many each shows.
        matched: how many of the driver's the rendered face shows within 3 frames.
    """

    made: int = 0
    real: int = 0
    matched: int = 0

    def __add__(self, other: Blinks) -> Blinks:
        return Blinks(self.made + other.made, self.real + other.real, self.matched + other.matched)

    @property
    def score(self) -> float | None:
        """F-score of the matches; None when nobody blinks."""
        total = self.made + self.real
        return 2 * self.matched / total if total else None


def eye_openness(mesh: Array) -> float:
    """Eye aspect ratio, mean of both eyes."""
    return float(np.mean(lid_opening(mesh)))


def blink_times(meshes: Sequence[Array]) -> list[int]:
    """Frame of the deepest closure of each blink: eyes narrower than 0.6 of how open this window's usually are."""
    openness = np.array([eye_openness(mesh) for mesh in meshes])
    usual = float(np.percentile(openness, 75))
    if usual < _LOWEST_OPEN:
        return []
    closed = np.flatnonzero(openness < _CLOSED_SHARE * usual)
    runs = np.split(closed, np.flatnonzero(np.diff(closed) > 1) + 1) if len(closed) else []
    return [int(run[np.argmin(openness[run])]) for run in runs]


def compare_blinks(made: Sequence[Array], real: Sequence[Array]) -> Blinks:
    """Count and match the blinks of two windows of the same times."""
    ours, theirs = blink_times(made), blink_times(real)
    free = list(ours)
    matched = 0
    for time in theirs:
        near = min(free, key=lambda other: abs(other - time), default=None)
        if near is not None and abs(near - time) <= _REACH:
            free.remove(near)
            matched += 1
    return Blinks(len(ours), len(theirs), matched)
