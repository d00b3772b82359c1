"""The named layout of a generator's motion."""

from __future__ import annotations

from visavis.generators.base import Generator
from visavis.motion.layout import PIXEL, Layout, Part

_CAMERA = 6


def layout_of(generator: Generator) -> Layout:
    """The parts of a generator's motion, in the order of its vector: keypoints, jacobians, camera, shape."""
    old = generator.layout
    parts = [Part("keypoints", (old.keypoints, 2), "crop", PIXEL)]
    if old.jacobians:
        parts.append(Part("jacobians", (old.keypoints, 2, 2), "ratio", PIXEL))
    if old.mesh:
        parts.append(Part("camera", (_CAMERA,), "mixed", PIXEL))
        parts.append(Part("shape", (old.mesh - _CAMERA,), "coefficient", PIXEL))
    return Layout("keypoints", tuple(parts))
