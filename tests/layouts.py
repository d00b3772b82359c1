"""Layouts of motion that tests make tables of."""

from __future__ import annotations

from visavis.motion.layout import PIXEL, Layout, Part


def points(count: int) -> Layout:
    """Keypoints and nothing else."""
    return Layout("keypoints", (Part("keypoints", (count, 2), "crop", PIXEL),))


def six_values() -> Layout:
    """A keypoint and four shape coefficients."""
    return Layout("keypoints", (*points(1).parts, Part("shape", (4,), "coefficient", PIXEL)))


def morphable() -> Layout:
    """A person's coefficients, which are held, before and between what moves, each with a scale of its own."""
    return Layout(
        "morphable",
        (
            Part("identity", (3,), "coefficient", 0.5, held=True),
            Part("expression", (2,), "coefficient", 0.1),
            Part("light", (1,), "coefficient", 1.0, held=True),
            Part("camera", (2,), "mixed", 0.25),
        ),
    )
