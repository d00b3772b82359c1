"""Drawn people placed in larger pictures: who stands where is known to the pixel."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.drawn.drawing import draw
from visavis.face.tracker import FaceTracker
from visavis.face.types import Face
from visavis.media.frame import Frame, Pixels
from visavis.media.writer import VideoWriter


@cache
def ground(height: int, width: int, seed: int = 0) -> Pixels:
    """A wall of soft colours."""
    colours = np.random.default_rng(seed).integers(40, 200, (5, 8, 3)).astype(np.uint8)
    return np.asarray(cv2.resize(colours, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def put(picture: Pixels, *people: tuple[Pixels, int, int]) -> Pixels:
    """A copy with people laid over it, each with its left and top."""
    out = picture.copy()
    for person, left, top in people:
        out[top : top + person.shape[0], left : left + person.shape[1]] = person
    return out


@cache
def _portrait(seed: int) -> tuple[Pixels, Face]:
    picture = draw(512, seed)
    with FaceTracker(video=False) as tracker:
        face = tracker.find(picture)
    assert face is not None
    return picture, face


def small_face(seed: int, face_height: float) -> tuple[Pixels, NDArray[np.float32]]:
    """A person whose face is so many pixels high, and the points ``(x, y)`` of the mesh in that picture."""
    picture, face = _portrait(seed)
    side = round(512 * face_height / (face.box[3] - face.box[1]))
    small = np.asarray(cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
    return small, face.mesh[:, :2] * np.float32(side / 512)


def write_video(path: Path, pictures: Iterable[Pixels], fps: int = 25) -> None:
    """Write pictures of one size as an .mp4 without sound."""
    writer: VideoWriter | None = None
    for number, pixels in enumerate(pictures):
        if writer is None:
            writer = VideoWriter(path, size=(pixels.shape[0], pixels.shape[1]), fps=Fraction(fps))
        writer.write(Frame(pixels, Fraction(number, fps)))
    assert writer is not None
    writer.close()
