"""The drawn face is one that MediaPipe finds, moves as its truth says, and talks when its mouth is open."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from visavis.drawn.drawing import Looks
from visavis.drawn.synthetic import Pose, TalkingFace, draw, write_clip
from visavis.face.tracker import FaceTracker
from visavis.face.types import Face
from visavis.media.reader import SoundReader, VideoReader

UPPER_LIP, LOWER_LIP, CHIN, FOREHEAD, NOSE = 13, 14, 152, 10, 1


@pytest.mark.parametrize("seed", range(5))
def test_every_frame_of_every_drawn_person_shows_a_face(seed: int):
    with FaceTracker() as tracker, FaceTracker(video=False) as alone:
        for number, frame in enumerate(TalkingFace(seed, 256, Fraction(5)).frames(12)):
            assert tracker.find(frame.pixels) is not None
            if number % 4 == 0:
                assert alone.find(frame.pixels) is not None


def found(pose: Pose, seed: int = 1) -> Face:
    with FaceTracker(video=False) as tracker:
        face = tracker.find(draw(256, seed, pose))
    assert face is not None
    return face


def gap(face: Face) -> float:
    """How far the lips are apart, in shares of the face's height."""
    mesh = face.mesh[:, :2]
    return float(np.linalg.norm(mesh[UPPER_LIP] - mesh[LOWER_LIP]) / np.linalg.norm(mesh[FOREHEAD] - mesh[CHIN]))


def test_the_tracker_sees_the_mouth_as_open_as_it_is_drawn():
    shut, half, wide = (gap(found(Pose(mouth=opened))) for opened in (0.0, 0.5, 1.0))
    assert shut < 0.025 < half - shut
    assert wide > half + 0.02


def test_the_tracker_sees_the_head_where_it_is_drawn():
    middle, right = found(Pose()).mesh[NOSE], found(Pose(x=0.1)).mesh[NOSE]
    assert right[0] - middle[0] == pytest.approx(0.1 * 256, abs=4)
    turned = found(Pose(roll=0.2)).mesh
    axis = turned[CHIN, :2] - turned[FOREHEAD, :2]
    assert np.arctan2(-axis[0], axis[1]) == pytest.approx(0.2, abs=0.05)


def test_the_eyes_close_with_the_lids():
    """A closed eye shows no white: its brightest spot is darker than that of an open one."""
    opened, closed = draw(256, 2, Pose()), draw(256, 2, Pose(lids=1.0))
    row = slice(round(0.40 * 256), round(0.46 * 256))
    assert opened[row, 70:190].max() > closed[row, 70:190].max() + 30


def test_the_same_seed_draws_the_same_person():
    np.testing.assert_array_equal(draw(64, 3), draw(64, 3))
    assert len({Looks.of(seed) for seed in range(8)}) == 8
    assert draw(33, 0).shape == (33, 33, 3)
    assert draw(64, 0, Pose(x=5.0)).dtype == np.uint8


def test_a_face_begins_neutral_and_moves_smoothly():
    for seed in range(5):
        face = TalkingFace(seed)
        start = face.pose(0.0)
        assert max(abs(start.x), abs(start.roll), abs(start.yaw), start.mouth, start.lids) < 0.01
        places = np.array([(face.pose(n / 25).x, face.pose(n / 25).y) for n in range(250)])
        assert np.abs(np.diff(places, axis=0)).max() < 0.01
        assert max(face.pose(n / 25).lids for n in range(250)) > 0.8


def test_a_clip_has_its_sound_and_frames(tmp_path: Path):
    write_clip(tmp_path / "clip.mp4", 0.8, seed=1, size=96, fps=Fraction(30000, 1001))
    with VideoReader(tmp_path / "clip.mp4") as reader:
        assert sum(1 for _ in reader) == 24
    with SoundReader(tmp_path / "clip.mp4") as reader:
        assert sum(len(chunk.samples) for chunk in reader) == pytest.approx(0.8 * 16000, abs=640)
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]
