"""What is spoken as meshes: lips rest closed, irises look where they are told, and new lips leave the rest alone."""

from __future__ import annotations

import numpy as np
import pytest

from made_speaker import opened
from visavis.drawn.drawing import Pose, draw
from visavis.face.align import whole
from visavis.face.gaze import gaze_of, whole_mesh
from visavis.face.measures import LEFT_LIDS, RIGHT_LIDS
from visavis.face.mesh import LEFT_EYE, LEFT_LID_PAIRS, LIP_PAIRS, RIGHT_EYE, mean_gap
from visavis.face.model3d import load_face_model
from visavis.face.tracker import FaceTracker
from visavis.motion.openings import USUAL_OPEN, USUAL_SHUT
from visavis.motion.speech.rest import LID_PROFILE, FaceSpace, resting_expression
from visavis.motion.speech.spoken import REST_CAMERA, Spoken
from visavis.motion.spoken_face import NewLips, Sitter, SpokenFace, reposed
from visavis.pipelines.actor import camera_of

PIXEL = 1 / 128


@pytest.fixture(scope="module")
def talking() -> list[np.ndarray]:
    """Meshes of one drawn person whose mouth opens and closes, and whose head turns."""
    meshes = []
    with FaceTracker(video=False) as tracker:
        for mouth, yaw in ((0.9, 0.0), (0.5, 0.2), (0.9, -0.2), (0.0, 0.1)):
            face = tracker.find(draw(256, 3, Pose(mouth=mouth, yaw=yaw)))
            assert face is not None
            meshes.append(whole(256, 256).to_crop(face.mesh))
    return meshes


def gap(mesh: np.ndarray) -> float:
    return mean_gap(mesh[:, :2], LIP_PAIRS)


def test_whoever_is_seen_with_an_open_mouth_rests_with_a_closed_one(talking: list[np.ndarray]):
    assert gap(talking[0]) > 5 * PIXEL
    face = SpokenFace(Sitter(talking[:1]))
    assert gap(face.resting) < 0.5 * PIXEL
    assert face.resting.shape == (478, 3) and np.allclose(camera_of(face.resting), REST_CAMERA, atol=1e-3)


def test_a_face_moves_as_is_spoken(talking: list[np.ndarray]):
    sitter = Sitter(talking[:1])
    face = SpokenFace(sitter)
    camera = REST_CAMERA + np.array([0.05, 0, 0, 0, 0.2, 0], np.float32)
    gaze = np.array([[0.3, 0.1], [0.2, -0.1]], np.float32)
    moved = face(Spoken(opened(sitter.identity), camera, gaze))
    assert gap(moved) > 4 * PIXEL
    assert np.allclose(camera_of(moved), camera, atol=2e-2)
    assert np.allclose(gaze_of(moved, camera), gaze, atol=1e-3)


def test_a_blink_shuts_eyes_however_wide_they_usually_are():
    """A whole blink as a speaker gives it, on people whose lids lie 0.11 to 0.24 apart."""
    model, nobody = load_face_model(), np.zeros(40, np.float32)
    space = FaceSpace.of(model, nobody)
    lids = [*range(RIGHT_LIDS.start, LEFT_LIDS.stop)]
    rows = space.measures.rows[lids]
    along = space.space.spread @ rows.T
    fall = np.tile(-(USUAL_OPEN - USUAL_SHUT) * LID_PROFILE, 2)
    blink = (along @ np.linalg.solve(rows @ along + 1e-6 * np.eye(10), fall)).astype(np.float32)
    for opened_by in (0.11, 0.24):
        shape = space.at_rest(np.zeros(30), [opened_by, opened_by]).astype(np.float32)
        mesh = whole_mesh(model.points(REST_CAMERA, nobody, shape), REST_CAMERA, np.zeros((2, 2), np.float32))
        face = SpokenFace(Sitter([mesh]))
        awake, shut = (
            mean_gap(face(Spoken(change, REST_CAMERA, np.zeros((2, 2), np.float32)))[:, :2], LEFT_LID_PAIRS)
            for change in (np.zeros(30, np.float32), blink)
        )
        assert shut < 0.25 * awake


def test_new_lips_close_and_open_and_leave_the_eyes_as_they_were(talking: list[np.ndarray]):
    sitter = Sitter(talking)
    lips = NewLips(sitter)
    for mesh in talking:
        silent = lips(mesh, np.zeros_like(sitter.rest))
        loud = lips(mesh, opened(sitter.identity))
        assert gap(silent) < 1.2 * PIXEL < 4 * PIXEL < gap(loud)
        for eye in (RIGHT_EYE, LEFT_EYE):
            assert np.allclose(loud[list(eye)], mesh[list(eye)], atol=1e-6)
        assert np.array_equal(loud[468:], mesh[468:]), "and the irises"


def test_a_pose_is_taken_off_and_put_on_again(talking: list[np.ndarray]):
    mesh = talking[1]
    there = reposed(mesh, camera_of(mesh), REST_CAMERA)
    assert np.allclose(camera_of(there), REST_CAMERA, atol=1e-4)
    back = reposed(there, REST_CAMERA, camera_of(mesh))
    assert np.allclose(back[:, :2], mesh[:, :2], atol=1e-4), "depth has no origin"


def test_a_face_that_was_seen_for_long_rests_as_it_usually_does(talking: list[np.ndarray]):
    """Pictured with a raised brow line and a shifted mouth; known without."""
    face, camera = load_face_model(), REST_CAMERA
    nobody, usual = np.zeros(40, np.float32), resting_expression(load_face_model(), np.zeros(40, np.float32))
    odd = usual + 0.8 * face.expression_scale * np.float32(np.arange(30) == 4)

    def mesh(expression: np.ndarray) -> np.ndarray:
        return whole_mesh(face.points(camera, nobody, expression), camera, np.zeros((2, 2), np.float32))

    pictured, seen = mesh(odd), mesh(usual)
    away = [
        np.linalg.norm(Sitter([pictured], [seen] * count).usual - Sitter([seen]).usual) for count in (0, 25, 75, 1000)
    ]
    assert away[1] == pytest.approx(away[0] / 2, rel=0.01) and away[2] == pytest.approx(away[0] / 4, rel=0.01)
    assert away[3] < 0.03 * away[0]
    silent = Spoken(np.zeros(30, np.float32), camera, np.zeros((2, 2), np.float32))
    for sitter in (Sitter(talking[:1]), Sitter(talking[:1], talking)):
        assert gap(SpokenFace(sitter)(silent)) < 0.6 * PIXEL, "and with closed lips, however it was seen"
