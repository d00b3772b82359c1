"""Every metric against a case worked out by hand, or against somebody else's code."""

from __future__ import annotations

import pickle
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from scipy import linalg

from made import tiny_mesh
from visavis.core.errors import WeightsError
from visavis.drawn.synthetic import Pose, draw
from visavis.evaluation.metrics import dynamics, identity, opening
from visavis.evaluation.metrics.expression import ExpressionDistance
from visavis.evaluation.metrics.frechet import Gaussian, frechet_distance
from visavis.evaluation.metrics.inception import Inception
from visavis.evaluation.metrics.landmarks import landmark_distance
from visavis.evaluation.metrics.landmarks68 import FILE, Landmarks68, landmark_distance68
from visavis.evaluation.metrics.sharpness import agreement, sharpness
from visavis.evaluation.metrics.tables import load_exactly, read_table
from visavis.face.mesh import LIPS
from visavis.face.model3d import load_face_model
from visavis.face.tracker import FaceTracker


def gathered(features: np.ndarray, part: int = 1000) -> Gaussian:
    out = Gaussian(features.shape[1])
    for start in range(0, len(features), part):
        out.add(features[start : start + part].astype(np.float32))
    return out


def test_a_stream_of_features_has_the_mean_and_covariance_of_all_at_once():
    features = np.random.default_rng(0).normal(50, 3, (101, 5)).astype(np.float32)
    streamed = gathered(features, part=7)
    np.testing.assert_allclose(streamed.mean, features.mean(0, dtype=np.float64), rtol=1e-9)
    np.testing.assert_allclose(streamed.covariance, np.cov(features.astype(np.float64), rowvar=False), rtol=1e-9)


def test_frechet_distance_of_two_gaussians_worked_out_by_hand():
    """Independent axes: the means' squared distance, 9 + 16, and the squared differences of deviations, 1 and 4."""
    unit = np.sqrt(3 / 4)  # four points at +-unit have an unbiased variance of 1
    corners = unit * np.array([(1, 1), (1, -1), (-1, 1), (-1, -1)])
    a = gathered(corners * (1, 2))
    b = gathered(corners * (2, 4) + (3, 4))
    assert frechet_distance(a, b) == pytest.approx(25 + 1 + 4, rel=1e-5)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("count", [200, 6])
def test_frechet_distance_is_that_of_scipys_matrix_root(count: int):
    """With fewer samples than dimensions too, where the covariance is singular."""
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(count, 12)) @ rng.normal(size=(12, 12)), rng.normal(size=(count, 12)) + 1
    first, second = (np.cov(x.astype(np.float32).astype(np.float64), rowvar=False) for x in (a, b))
    root = linalg.sqrtm((first + 1e-9 * np.eye(12)) @ (second + 1e-9 * np.eye(12))).real
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(first + second - 2 * root)
    assert frechet_distance(gathered(a), gathered(b)) == pytest.approx(expected, rel=1e-3)


def test_landmark_distance_by_hand():
    """All face points moved by (3, 4) at 256; irises do not count; lips are counted alone too."""
    real = np.random.default_rng(0).uniform(0, 256, (478, 3)).astype(np.float32)
    made = real.copy()
    made[:468] += (3, 4, 100)
    assert landmark_distance(made, real, 256) == pytest.approx((5, 5), rel=1e-4)
    assert landmark_distance(made, real, 512) == pytest.approx((2.5, 2.5), rel=1e-4)
    lips = real.copy()
    lips[list(LIPS), 0] += 2
    assert landmark_distance(lips, real, 256) == pytest.approx((2 * 40 / 468, 2), rel=1e-4)


def test_distance_of_the_68_landmarks_by_hand():
    real = np.zeros((68, 2))
    made = real + (3, 4)
    made[48:] = (6, 8)
    assert landmark_distance68(made, real, 256) == pytest.approx(((48 * 5 + 20 * 10) / 68, 10))
    assert landmark_distance68(made, real, 512)[1] == pytest.approx(5)


def test_dlibs_landmarks_lie_on_the_drawn_face_and_move_with_it():
    """The mesh is the outside opinion on where mouth and eyes are; the shift is known."""
    pytest.importorskip("dlib")
    package = find_spec("face_recognition_models")
    if package is None or not package.submodule_search_locations:
        pytest.skip("face-recognition-models is not installed")
    network = Landmarks68(Path(package.submodule_search_locations[0]) / "models" / FILE)
    picture = draw(256, 1, Pose(mouth=0.8))
    points = network.find(picture)
    moved = network.find(np.roll(picture, (5, -4), (0, 1)))
    with FaceTracker(video=False) as tracker:
        face = tracker.find(picture)
    assert points is not None and moved is not None and face is not None
    same = {48: 61, 54: 291, 62: 13, 66: 14, 36: 33, 45: 263}
    off = points[list(same)] - face.mesh[list(same.values()), :2]
    assert np.linalg.norm(off, axis=1).max() < 6
    np.testing.assert_allclose(np.median(moved - points, axis=0), (-4, 5), atol=1)
    assert network.find(np.full((256, 256, 3), 128, np.uint8)) is None


def test_landmark_weights_that_are_damaged_are_refused(tmp_path: Path):
    pytest.importorskip("dlib")
    (tmp_path / FILE).write_bytes(b"not a predictor")
    with pytest.raises(WeightsError, match="damaged"):
        Landmarks68(tmp_path / FILE)


def test_embeddings_have_the_distance_and_the_cosine_of_geometry():
    a, b = np.array([3, 0, 0], np.float32), np.array([0, 4, 0], np.float32)
    assert identity.identity_distance(a, b) == 5
    assert identity.identity_similarity(a, b) == 0
    assert (identity.identity_distance(a, a), identity.identity_similarity(a, 2 * a)) == (0, 1)


def smooth_picture(seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 256, (24, 24, 3)).astype(np.uint8)
    return cv2.resize(noise, (256, 256), interpolation=cv2.INTER_CUBIC)


def test_a_face_is_aligned_as_dlib_would_align_it():
    dlib = pytest.importorskip("dlib")
    mesh = np.zeros((478, 3), np.float32)
    corners = {263: (170, 116), 362: (142, 114), 33: (84, 104), 133: (108, 107), 2: (117, 160)}
    for index, place in corners.items():
        mesh[index, :2] = np.array(place) + 0.5  # dlib counts from pixel centres
    points = [dlib.point(*place) for place in corners.values()]
    found = dlib.full_object_detection(dlib.rectangle(60, 60, 200, 200), points)
    theirs = dlib.get_face_chip(smooth_picture(), found, size=150, padding=0.25).astype(float)
    ours = identity.chip(smooth_picture(), mesh).astype(float)
    assert np.abs(theirs - ours)[5:-5, 5:-5].mean() < 4


def test_identity_weights_that_are_damaged_are_refused(tmp_path: Path):
    pytest.importorskip("dlib")
    (tmp_path / identity.FILE).write_bytes(b"not a network")
    with pytest.raises(WeightsError, match="damaged"):
        identity.IdentityNetwork(tmp_path / identity.FILE)


def turned(mesh: np.ndarray, degrees: float) -> np.ndarray:
    turn = cv2.Rodrigues(np.array([0, np.deg2rad(degrees), 0]))[0]
    return np.asarray(mesh @ turn.T, np.float32)


def test_expression_distance_sees_expression_and_not_pose_nor_person():
    """The driver has another face, resting expression and pose; one coefficient of it differs by 0.3."""
    model = load_face_model()
    rng = np.random.default_rng(0)
    who, other = rng.normal(size=(2, len(model.identity))) * model.identity_scale
    rest, other_rest, move = rng.normal(size=(3, len(model.expression))) * 0.3 * model.expression_scale
    more = np.zeros(len(model.expression))
    more[2] = 0.3

    def face(identity: np.ndarray, expression: np.ndarray, yaw: float = 0) -> np.ndarray:
        return turned(0.4 * model.shape(identity, expression), yaw)

    distance = ExpressionDistance(model, source=face(who, rest), start=face(other, other_rest))
    assert distance(face(who, rest + move, 20), face(other, other_rest + move, -10)) == pytest.approx(0, abs=1e-3)
    found = distance(face(who, rest + move, 20), face(other, other_rest + move + more, -10))
    assert found == pytest.approx(0.3 / len(model.expression), rel=0.02)


def test_blur_lowers_sharpness_of_its_place_alone():
    picture = draw(256, seed=0)
    with FaceTracker(video=False) as tracker:
        face = tracker.find(picture)
    assert face is not None
    lips = face.mesh[list(LIPS), :2]
    (left, top), (right, bottom) = (lips.min(0) - 6).astype(int), (lips.max(0) + 7).astype(int)
    blurred = picture.copy()
    blurred[top:bottom, left:right] = cv2.GaussianBlur(picture, (0, 0), 3)[top:bottom, left:right]
    before, after = sharpness(picture, face.mesh), sharpness(blurred, face.mesh)
    assert after["mouth_sharpness"] < 0.5 * before["mouth_sharpness"]
    assert after["face_sharpness"] > 0.6 * before["face_sharpness"]
    assert agreement(2, 4) == agreement(4, 2) == 0.5
    assert agreement(0, 0) == 1


def test_spectra_of_speed_agree_only_in_what_both_do():
    time = np.arange(50)[:, None] / 25
    nod = 0.1 * np.sin(2 * np.pi * 1.5 * time)
    jitter = 0.02 * np.random.default_rng(0).normal(size=nod.shape)
    assert dynamics.spectral_agreement(nod, nod) == 1
    assert dynamics.spectral_agreement(nod + 7, nod) == pytest.approx(1)
    assert dynamics.spectral_agreement(0.5 * nod, nod) == pytest.approx(0.5)
    assert dynamics.spectral_agreement(2 * nod, nod) == pytest.approx(0.5)
    assert dynamics.spectral_agreement(0 * nod, nod) == 0
    assert dynamics.spectral_agreement(nod + jitter, nod) < 0.7


def test_the_head_track_is_the_turn_and_the_shift_that_were_made():
    mesh = tiny_mesh()
    unit = dynamics.eye_distance(mesh)
    moves = [turned(mesh, yaw) + np.array([0.5 * unit * step, 0, 0], np.float32) for step, yaw in ((0, 0), (1, 12))]
    track = dynamics.head_track(moves)
    np.testing.assert_allclose(track[0], 0, atol=1e-3)
    np.testing.assert_allclose(track[1, :3], [0, np.deg2rad(12), 0], atol=1e-3)
    assert track[1, 3] - track[0, 3] == pytest.approx(0.5, abs=0.02)


def face_with_lids(gap: float) -> np.ndarray:
    mesh = np.zeros((478, 3), np.float32)
    for middle, eye in zip((-1.0, 1.0), opening.LIDS, strict=True):
        *lids, (left, right) = eye
        mesh[left, 0], mesh[right, 0] = middle - 0.5, middle + 0.5
        for (up, low), across in zip(lids, (-0.2, 0.2), strict=True):
            mesh[up], mesh[low] = (middle + across, -gap / 2, 0), (middle + across, gap / 2, 0)
    return mesh


def test_blinks_are_counted_and_matched_in_time():
    def window(*blinks: int) -> list[np.ndarray]:
        gaps = np.full(50, 0.3)
        for at in blinks:
            gaps[at - 1 : at + 2] = (0.15, 0.03, 0.15)
        return [face_with_lids(gap) for gap in gaps]

    assert dynamics.eye_openness(face_with_lids(0.3)) == pytest.approx(0.3)
    assert dynamics.blink_times(window(10, 30)) == [10, 30]
    assert dynamics.blink_times(window()) == []
    found = dynamics.compare_blinks(window(11, 40), window(10, 25))
    assert (found.made, found.real, found.matched, found.score) == (2, 2, 1, 0.5)
    assert (found + found).score == 0.5
    assert dynamics.Blinks().score is None


def test_inception_has_the_size_of_the_published_one_and_checks_every_key(tmp_path: Path):
    """23,834,568 is what torchvision says of Inception v3 with 1000 classes and no auxiliary head."""
    torch.manual_seed(0)
    network = Inception()
    assert sum(p.numel() for p in network.parameters()) == 23_834_568 + 8 * 2049
    table = {name: value for name, value in network.state_dict().items() if "num_batches" not in name}
    torch.save(table, tmp_path / "weights.pth")
    again = Inception.from_file(tmp_path / "weights.pth")
    pictures = torch.rand(1, 3, 64, 64)
    assert torch.equal(again(pictures), network(pictures))
    assert again(pictures).shape == (1, 2048)
    table.pop("Mixed_7c.branch_pool.bn.running_var")
    with pytest.raises(WeightsError, match=r"Mixed_7c\.branch_pool\.bn\.running_var"):
        load_exactly(network, table, tmp_path / "weights.pth")
    with pytest.raises(WeightsError, match=r"fc\.weight"):
        load_exactly(network, {**network.state_dict(), "fc.weight": torch.zeros(1000, 2048)}, tmp_path)


def test_a_table_of_weights_runs_no_code(tmp_path: Path):
    (tmp_path / "code.pth").write_bytes(pickle.dumps(print, protocol=2))
    (tmp_path / "cut.safetensors").write_bytes(b"\0" * 5)
    for name in ("code.pth", "cut.safetensors"):
        with pytest.raises(WeightsError, match="not a table of tensors"):
            read_table(tmp_path / name)
