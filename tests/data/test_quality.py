"""Quality flags: measured against what was drawn."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from visavis.audio.mel import log_mel
from visavis.data import quality
from visavis.drawn.synthetic import Pose, TalkingFace, draw
from visavis.face.tracker import FaceTracker


def drawn_meshes(count: int, seed: int = 1) -> tuple[np.ndarray, list[Pose]]:
    """Tracked meshes of a drawn face, and the truth."""
    face = TalkingFace(seed)
    truth = [face.pose(number / 25) for number in range(count)]
    with FaceTracker() as tracker:
        found = [tracker.find(draw(256, seed, pose)) for pose in truth]
    assert all(found)
    return np.stack([face.mesh for face in found if face]) / 128 - [1, 1, 0], truth


@pytest.fixture(scope="module")
def drawn() -> tuple[np.ndarray, list[Pose]]:
    return drawn_meshes(75)


def turned(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """A face of four points and a nose, turned by angles in degrees about one axis after the other."""
    mesh = np.zeros((478, 3))
    mesh[[10, 152, 234, 454, 1]] = [(0, -0.5, 0), (0, 0.5, 0), (-0.4, 0, 0), (0.4, 0, 0), (0, 0, -0.3)]
    (a, b, c) = np.radians([yaw, pitch, roll])
    about_y = np.array([[np.cos(a), 0, -np.sin(a)], [0, 1, 0], [np.sin(a), 0, np.cos(a)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), np.sin(b)], [0, -np.sin(b), np.cos(b)]])
    about_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return (mesh @ (about_z @ about_x @ about_y).T).astype(np.float32)


@pytest.mark.parametrize("angles", [(0, 0, 0), (30, 0, 0), (-50, 0, 0), (0, 20, 0), (0, -35, 0), (0, 0, 15)])
def test_head_turns_are_those_of_a_face_that_was_turned(angles: tuple[float, float, float]):
    mesh = turned(*angles)
    np.testing.assert_allclose(quality.turns_deg(mesh[None])[0], angles, atol=1e-3)
    yaw, pitch, _ = angles
    assert np.sign(round(float(mesh[1, 0]), 6)) == np.sign(yaw), "the nose goes to the right"
    assert np.sign(round(float(-mesh[1, 1]), 6)) == np.sign(pitch), "the nose goes up"


def test_head_turns_follow_a_face_that_is_drawn_and_tracked(drawn: tuple[np.ndarray, list[Pose]]):
    """How far a drawn face turns, a tracker made for people sees in part only; when it turns, it does see."""
    meshes, truth = drawn
    yaw, _, roll = quality.turns_deg(meshes.astype(np.float32)).T
    assert np.corrcoef(yaw, [pose.yaw for pose in truth])[0, 1] > 0.9
    assert np.corrcoef(roll, [pose.roll for pose in truth])[0, 1] > 0.9


def test_a_mouth_goes_with_its_own_sound_and_its_lag_is_found(drawn: tuple[np.ndarray, list[Pose]]):
    meshes = drawn[0].astype(np.float32)
    voice = TalkingFace(1).sound(4.0).samples

    def heard(delay_frames: int) -> quality.Sync:
        lead = 1720 + 640 * delay_frames
        sync = quality.mouth_and_sound(meshes, log_mel(np.pad(voice, (lead, 0)))[:, : 4 * 75 + 16])
        assert sync is not None
        return sync

    assert heard(0).label == "likely"
    assert abs(heard(0).lag_frames) <= 1
    assert heard(2).lag_frames - heard(0).lag_frames == pytest.approx(2, abs=1)
    noise = np.random.default_rng(0).normal(0, 0.1, 4 * 16_000).astype(np.float32)
    stranger = quality.mouth_and_sound(meshes, log_mel(noise)[:, : 4 * 75 + 16])
    assert stranger is not None
    assert stranger.score < heard(0).score / 2
    assert quality.mouth_and_sound(meshes, np.zeros((80, 4 * 75 + 16), np.float32)) is None


def test_blur_and_size_decide_what_is_kept():
    sharp = draw(256, 1)
    with FaceTracker(video=False) as tracker:
        face = tracker.find(sharp)
    assert face is not None
    mesh = (face.mesh / 128 - [1, 1, 0]).astype(np.float32)
    blurred = cv2.GaussianBlur(sharp, (0, 0), 5)
    assert quality.sharpness(blurred, mesh) < quality.sharpness(sharp, mesh) / 4
    seen = np.ones(3, bool)

    def fault(sharpness: float, scale: float) -> str | None:
        return quality.measure(np.stack([mesh] * 3), seen, [sharpness], scale, None).fault(quality.Thresholds())

    assert fault(quality.sharpness(sharp, mesh), 256) is None
    assert "blurred" in str(fault(quality.sharpness(blurred, mesh), 256))
    assert "px high" in str(fault(quality.sharpness(sharp, mesh), 40))
