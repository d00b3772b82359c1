"""Small instruments of a call: the head's angles, and sound whose rate is changed as it comes."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import pytest

from made import tiny_mesh
from visavis.drawn.synthetic import Pose, draw
from visavis.face.pose import head_angles
from visavis.face.tracker import FaceTracker
from visavis.media.samples import Resampler


def upright() -> np.ndarray:
    mesh = tiny_mesh()
    for right, left in ((33, 263), (133, 362), (127, 356), (234, 454)):
        mesh[right], mesh[left] = (-0.5, 0, 0), (0.5, 0, 0)
    mesh[10], mesh[2] = (0, -0.5, 0), (0, 0.5, 0)
    return mesh


@pytest.mark.parametrize(("axis", "name", "sign"), [(0, "pitch", 1), (1, "yaw", -1), (2, "roll", 1)])
@pytest.mark.parametrize("degrees", [-40.0, -5.0, 0.0, 20.0])
def test_a_turn_about_one_axis_is_that_angle(axis: int, name: str, sign: int, degrees: float):
    """Rotations by OpenCV, x to the right, y down, z away."""
    turn = np.zeros(3)
    turn[axis] = np.radians(degrees)
    turned = upright() @ cv2.Rodrigues(turn)[0].T.astype(np.float32)
    angles = head_angles(200 * turned + 100)
    wanted = {"yaw": 0.0, "pitch": 0.0, "roll": 0.0, name: sign * degrees}
    assert (angles.yaw, angles.pitch, angles.roll) == pytest.approx(tuple(wanted.values()), abs=1e-3)


def test_drawn_heads_are_read_as_tilted_as_they_are_drawn():
    """Whatever mouth and lids do; by the outer corners of the eyes alone it is 0.5 degrees off (RMS)."""
    rng = np.random.default_rng(0)
    off = []
    with FaceTracker(video=False) as tracker:
        for seed in (0, 1, 3, 5):
            for mouth, lids in ((0.0, 0.0), (0.9, 0.0), (0.4, 1.0)):
                roll = float(rng.uniform(-0.2, 0.2))
                face = tracker.find(draw(256, seed, Pose(roll=roll, mouth=mouth, lids=lids)))
                assert face is not None
                off.append(head_angles(face.mesh).roll - np.degrees(roll))
    assert np.sqrt(np.square(off).mean()) < 0.35


def test_angles_apart_have_no_sign():
    turned = upright() @ cv2.Rodrigues(np.array([0, 0, 0.3]))[0].T.astype(np.float32)
    there, back = head_angles(upright()), head_angles(turned)
    assert there.apart(back) == pytest.approx(back.apart(there))
    assert there.apart(back)[2] == pytest.approx(np.degrees(0.3), abs=1e-3)


def test_sound_keeps_its_time_when_its_rate_changes():
    time = np.arange(48_000) / 48_000
    tone = np.sin(2 * np.pi * 440 * time).astype(np.float32)
    resampler = Resampler(48_000, 16_000)
    cuts = [0, 1, 100, 2_880, 2_881, 20_000, 48_000]
    made = np.concatenate([resampler.push(tone[a:b]) for a, b in pairwise(cuts)])
    assert 15_900 < len(made) <= 16_000
    assert np.abs(made - tone[::3][: len(made)])[100:-100].max() < 0.01
