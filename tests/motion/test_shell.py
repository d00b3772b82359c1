"""Keypoints in hair and on a head's outline go with the head, whatever a driver's hair does."""

from __future__ import annotations

import numpy as np
import pytest

from visavis.motion import camera
from visavis.motion.shell import Shell

HEAD = np.array([0.05, 0.1, np.log(0.4), 0.0, 0.0, 0.0])
#: In units of the face: beside the crown, beside an ear, on a shoulder, far off.
LOCAL = np.array([[1.4, -1.6], [-1.3, 0.0], [1.5, 2.6], [3.9, -2.4]])
POINTS = (HEAD[:2] + 0.4 * LOCAL).astype(np.float32)


def test_hair_is_the_head_s_and_shoulders_are_not():
    held = Shell(POINTS, HEAD).held[:, 0]
    assert held.tolist() == [1, 1, 0, 0]
    tilted = camera.turned(HEAD, 0, 0, 40)
    turned = HEAD[:2] + 0.4 * LOCAL @ camera.rotation(tilted)[:2, :2].T
    assert Shell(turned.astype(np.float32), tilted).held[:, 0].tolist() == [1, 1, 0, 0]


def test_a_head_at_rest_leaves_them_and_one_that_shifts_and_grows_takes_them_along():
    shell = Shell(POINTS, HEAD)
    points, frame = shell(HEAD)
    assert np.abs(points - POINTS).max() < 1e-6 and np.abs(frame - np.eye(2)).max() < 1e-6
    points, frame = shell(HEAD + [0.1, -0.05, 0, 0, 0, 0])
    assert points - POINTS == pytest.approx(np.tile([0.1, -0.05], (4, 1)), abs=1e-6)
    points, frame = shell(HEAD + [0, 0, 0.2, 0, 0, 0])
    assert frame == pytest.approx(np.exp(0.1) * np.eye(2)) and points[0, 0] > POINTS[0, 0]


@pytest.mark.parametrize("degrees", [-30.0, 10.0])
def test_what_lies_behind_a_face_goes_the_other_way_as_it_turns(degrees: float):
    """A face turned by hand, about an axis behind it, moves past hair that nearly stays."""
    turned = camera.turned(HEAD, degrees, 0, 0, behind=1.0)
    nose = (turned[:2] - HEAD[:2])[0]
    hair = (Shell(POINTS, HEAD)(turned)[0] - POINTS)[:2, 0]
    assert nose == pytest.approx(0.4 * np.sin(np.radians(degrees)), abs=1e-6)
    assert (hair * nose < 0).all() and np.abs(hair).max() < 0.4 * abs(nose)
    nods = Shell(POINTS, HEAD)(camera.turned(HEAD, 0, degrees, 0))[0] - POINTS
    assert (nods[:2, 1] * degrees < 0).all() and np.abs(nods[:2, 0]).max() < 1e-6


def test_what_the_upper_edge_cuts_off_does_not_come_into_view():
    close = np.array([0.0, 0.0, np.log(0.55), 0.0, 0.0, 0.0])
    hair = np.array([[0.6, -0.95]], np.float32)
    down = Shell(hair, close)(camera.turned(close, 0, -35, 0))[0] - hair
    up = Shell(hair, close)(camera.turned(close, 0, 35, 0))[0] - hair
    assert 0 < down[0, 1] < 0.12 and up[0, 1] < -0.25
