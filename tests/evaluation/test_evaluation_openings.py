"""Mouths that open and lids that close, measured through time: by hand, and on drawn faces whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from visavis.drawn.synthetic import Pose, draw
from visavis.evaluation.metrics import opening
from visavis.evaluation.metrics.opening import Contact, compare_openings, correlation, spread
from visavis.face.tracker import FaceTracker

TIMES = np.arange(40) / 25
SPEECH = 0.06 * np.sin(2 * np.pi * 2 * TIMES) ** 2
BLINK = 0.3 - 0.24 * np.exp(-(((TIMES - 0.8) / 0.06) ** 2))


def face(mouth: float, right: float, left: float, size: float = 100) -> np.ndarray:
    """A mesh with nothing but a face ``size`` high, a gap of the lips, and lids over eyes 20 wide."""
    mesh = np.zeros((478, 3), np.float32)
    mesh[152, 1] = size
    for low in (87, 14, 317):
        mesh[low, 1] = mouth * size
    for pairs, wanted in zip(opening.LIDS, (right, left), strict=True):
        mesh[pairs[2][1], 0] = 20
        for low in (pairs[0][1], pairs[1][1]):
            mesh[low, 1] = 20 * wanted
    return mesh


def window(mouth: np.ndarray, right: np.ndarray, left: np.ndarray | None = None, size: float = 100) -> list[np.ndarray]:
    left = right if left is None else left
    return [face(*values, size) for values in zip(mouth, right, left, strict=True)]


DRIVER = window(SPEECH, BLINK)


def test_openings_are_shares_of_the_face_and_of_the_eye():
    assert opening.mouth_opening(face(0.07, 0, 0, size=300)) == pytest.approx(0.07)
    assert opening.lid_opening(face(0, 0.3, 0.1)) == pytest.approx((0.3, 0.1))


def test_another_size_of_the_same_face_is_perfect():
    found = compare_openings(window(SPEECH, BLINK, size=250), DRIVER)
    expected = {"mouth_correlation": 1, "mouth_range": 1, "lid_correlation": 1, "lid_gap": 0}
    expected |= {"lid_least": BLINK.min(), "lid_least_driver": BLINK.min()}
    assert found.values == pytest.approx(expected, abs=1e-5)
    closed = int((SPEECH < opening.LIPS_CLOSED).sum())
    assert found.contact == Contact(closed, closed)
    assert found.contact.share == 1


def test_a_mouth_that_opens_half_as_far_and_never_closes_is_seen():
    found = compare_openings(window(0.02 + SPEECH / 2, BLINK), DRIVER)
    assert found.values["mouth_correlation"] == pytest.approx(1)
    assert found.values["mouth_range"] == pytest.approx(0.5)
    assert found.contact.share == 0


def test_a_mouth_that_does_the_opposite_and_one_that_is_still_are_told_apart():
    opposite = compare_openings(window(0.06 - SPEECH, BLINK), DRIVER).values
    still = compare_openings(window(0 * SPEECH, BLINK), DRIVER).values
    assert (opposite["mouth_correlation"], opposite["mouth_range"]) == pytest.approx((-1, 1))
    assert (still["mouth_correlation"], still["mouth_range"]) == (0, 0)


def test_each_eye_counts_and_lids_that_hardly_close_are_seen():
    one_eye = compare_openings(window(SPEECH, BLINK, 0.3 + 0 * BLINK), DRIVER).values
    assert one_eye["lid_correlation"] == pytest.approx(0.5)
    assert one_eye["lid_gap"] == pytest.approx((0.3 - BLINK.min()) / 2, abs=1e-6)
    wide = compare_openings(window(SPEECH, BLINK + 0.1), DRIVER).values
    assert wide["lid_correlation"] == pytest.approx(1)
    assert wide["lid_least"] - wide["lid_least_driver"] == pytest.approx(0.1, abs=1e-6)


def test_where_the_driver_does_nothing_nothing_is_said():
    still = window(0.03 + 0 * SPEECH, 0.3 + 0 * BLINK)
    found = compare_openings(DRIVER, still)
    assert found.values == {}
    assert found.contact.share is None
    assert (found.contact + Contact(4, 3)).share == 0.75


def test_correlation_is_numpys():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 50))
    assert correlation(a, b) == pytest.approx(np.corrcoef(a, b)[0, 1])
    assert spread(np.arange(101.0)) == 90


def test_openings_follow_a_drawn_face_of_known_truth():
    truth = np.linspace(0, 1, 6)
    with FaceTracker(video=False) as tracker:
        faces = [tracker.find(draw(256, 1, Pose(mouth=value, lids=value))) for value in truth]
    meshes = [found.mesh for found in faces if found is not None]
    assert len(meshes) == len(truth)
    mouth = np.array([opening.mouth_opening(mesh) for mesh in meshes])
    lids = np.array([opening.lid_opening(mesh) for mesh in meshes])
    assert mouth[0] < opening.LIPS_CLOSED < mouth[2]
    assert correlation(mouth, truth) > 0.97
    assert max(correlation(lids[:, eye], truth) for eye in (0, 1)) < -0.95
