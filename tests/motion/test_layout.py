"""A motion vector is known by its parts: they come out as they went in, and a layout has a name of eight bytes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from visavis.motion.layout import PIXEL, Layout, Motion, Part

LAYOUT = Layout(
    "keypoints",
    (
        Part("keypoints", (2, 2), "crop", PIXEL),
        Part("camera", (6,), "mixed", 0.01),
        Part("identity", (3,), "coefficient", 0.5, held=True),
    ),
)


def test_parts_come_out_as_they_went_in() -> None:
    parts = {"keypoints": [[1, 2], [3, 4]], "camera": range(5, 11), "identity": [11, 12, 13]}
    motion = Motion.of(LAYOUT, **parts)
    assert motion.vector.tolist() == list(range(1, 14))
    assert motion["keypoints"].shape == (2, 2) and motion["keypoints"][1, 0] == 3
    many = np.stack([motion.vector, 2 * motion.vector])
    assert LAYOUT.of(many, "identity").tolist() == [[11, 12, 13], [22, 24, 26]]


def test_other_values_of_a_part_leave_the_first_motion_alone() -> None:
    first = Motion(np.zeros(13, np.float32), LAYOUT)
    second = first.with_parts(camera=np.ones(6))
    assert first.vector.sum() == 0 and second.vector.sum() == 6 and second["identity"].sum() == 0


def test_scales_and_what_is_held_go_value_by_value() -> None:
    assert LAYOUT.scales.tolist() == pytest.approx([PIXEL] * 4 + [0.01] * 6 + [0.5] * 3)
    assert LAYOUT.held.tolist() == [False] * 10 + [True] * 3


@pytest.mark.parametrize(
    "parts", [{}, {"keypoints": np.zeros(4)}, {"keypoints": np.zeros(4), "camera": np.zeros(6), "identity": [1]}]
)
def test_what_does_not_fit_is_refused(parts: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        Motion.of(LAYOUT, **parts)
    with pytest.raises(ValueError):
        Motion(np.zeros(12, np.float32), LAYOUT)
    with pytest.raises(KeyError):
        LAYOUT.part("lips")


def test_a_layout_is_named_by_what_its_values_mean_and_not_by_their_scale() -> None:
    def with_first(**changes: object) -> Layout:
        return replace(LAYOUT, parts=(replace(LAYOUT.parts[0], **changes), *LAYOUT.parts[1:]))  # type: ignore[arg-type]

    assert len(LAYOUT.identity) == 8 and with_first(scale=1.0).identity == LAYOUT.identity
    others = [
        replace(LAYOUT, kind="morphable"),
        with_first(name="points"),
        with_first(shape=(4, 1)),
        with_first(held=True),
    ]
    assert len({LAYOUT.identity, *(other.identity for other in others)}) == 5
