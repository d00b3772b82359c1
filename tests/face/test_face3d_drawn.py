"""Poses that are known, of drawn people whom the tracker sees: an outside truth for the fitted camera."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from visavis.drawn.synthetic import Pose, TalkingFace, draw
from visavis.face.fitting import fit_clip, fit_frame
from visavis.face.landmarks import FaceMesher
from visavis.face.model3d import load_face_model, rotation_matrices

SIDE = 256
#: Drawn features shift by this share of their depth at a yaw and pitch of 1: the sine of the angle.
YAW_SINE, PITCH_SINE = 0.30, 0.22


@pytest.fixture(scope="module")
def mesher() -> Iterator[FaceMesher]:
    with FaceMesher(1, video=False) as found:
        yield found


def mesh_of(mesher: FaceMesher, seed: int, pose: Pose) -> np.ndarray:
    """The tracked mesh in crop coordinates."""
    mesh = mesher.faces(draw(SIDE, seed, pose))[0].mesh * np.float32(2 / SIDE)
    return mesh - np.array([1, 1, 0], np.float32)


def angles(camera: np.ndarray) -> np.ndarray:
    """Yaw, pitch and roll in degrees as ``face/pose.py`` has them."""
    turn = rotation_matrices(camera[..., 3:6])
    found = np.arcsin(turn[..., 2, 0]), np.arcsin(turn[..., 2, 1]), np.arctan2(turn[..., 1, 0], turn[..., 0, 0])
    return np.degrees(np.stack(found, -1))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_drawn_head_that_rolls_is_found_within_a_degree(mesher: FaceMesher, seed: int):
    still = angles(fit_frame(mesh_of(mesher, seed, Pose())).camera)
    for degrees in (-20, -10, 10, 20):
        found = angles(fit_frame(mesh_of(mesher, seed, Pose(roll=np.radians(degrees)))).camera) - still
        assert found[2] == pytest.approx(degrees, abs=1)
        assert np.abs(found[:2]).max() < 2


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_drawn_head_that_turns_turns_that_way_within_eight_degrees(mesher: FaceMesher, seed: int):
    """Parts shift over a flat drawing: the tracker takes that for two thirds of the yaw, and half of the pitch."""
    still = angles(fit_frame(mesh_of(mesher, seed, Pose())).camera)
    for turn in (-1.0, -0.5, 0.5, 1.0):
        yaw = angles(fit_frame(mesh_of(mesher, seed, Pose(yaw=turn))).camera) - still
        pitch = angles(fit_frame(mesh_of(mesher, seed, Pose(pitch=turn))).camera) - still
        assert yaw[0] == pytest.approx(np.degrees(np.arcsin(YAW_SINE * turn)), abs=8)
        assert pitch[1] == pytest.approx(np.degrees(np.arcsin(PITCH_SINE * turn)), abs=8)
        assert yaw[0] * turn > 2
        assert pitch[1] * turn > 0.8
        assert abs(yaw[2]) < 2
        assert abs(pitch[2]) < 2


@pytest.mark.parametrize("seed", [0, 2])
def test_a_drawn_head_that_talks_moves_as_it_was_drawn(mesher: FaceMesher, seed: int):
    face = TalkingFace(seed)
    poses = [face.pose(number / 5) for number in range(25)]
    fit = fit_clip(np.stack([mesh_of(mesher, seed, pose) for pose in poses]))
    shapes = load_face_model().shape(fit.identity, fit.expression)
    yaw, pitch, roll = angles(fit.camera).T
    found = {
        "yaw": yaw,
        "roll": roll,
        "x": fit.camera[:, 0],
        "y": fit.camera[:, 1],
        "mouth": np.linalg.norm(shapes[:, 13] - shapes[:, 14], axis=-1),
    }
    for part, values in found.items():
        assert np.corrcoef(values, [getattr(pose, part) for pose in poses])[0, 1] > 0.95, part
    assert np.corrcoef(pitch, [pose.pitch for pose in poses])[0, 1] > 0.7  # it is drawn up to three degrees


def test_opencv_finds_the_same_camera_from_the_points_in_the_picture():
    """A camera with perspective, far away, found in two dimensions alone by another method (EPnP)."""
    model = load_face_model()
    mesh = model.points(np.array([0.1, -0.05, -0.9, 0.1, 0.4, 0.2]), np.zeros(40), np.zeros(30))
    fit = fit_frame(mesh)
    far = 1e3
    lens = np.array([[far, 0, 0], [0, far, 0], [0, 0, 1]])
    seen = np.ascontiguousarray(mesh[:, :2], np.float64)
    _, turn, moved = cv2.solvePnP(model.mean.astype(np.float64), seen, lens, np.zeros(4), flags=cv2.SOLVEPNP_EPNP)
    assert np.abs(turn[:, 0] - fit.camera[3:6]).max() < np.radians(0.05)
    assert far / moved[2, 0] == pytest.approx(np.exp(fit.camera[2]), rel=1e-4)
    assert np.abs(moved[:2, 0] * far / moved[2, 0] - fit.camera[:2]).max() < 1e-3
