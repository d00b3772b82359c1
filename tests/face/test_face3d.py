"""The 3D face: its mesh and bases, and that fitting finds what a face was made of."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from visavis.core.errors import WeightsError
from visavis.face.fitting import IdentityTrack, fit_clip, fit_frame, vertex_error
from visavis.face.mesh import LEFT_EYE, LIPS_INNER, OVAL, RIGHT_EYE
from visavis.face.mirror import MIRROR
from visavis.face.model3d import (
    SKIN_TRIANGLES,
    FaceModel,
    load_face_model,
    rigid_weights,
    rotation_matrices,
    rotation_vectors,
)
from visavis.weights.checkpoint import load, save
from visavis.weights.store import PACKAGED, packaged

FLIP = np.array([-1, 1, 1], np.float32)


@pytest.fixture(scope="module")
def model() -> FaceModel:
    return load_face_model()


def drawn_lots(model: FaceModel, frames: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cameras, one identity and expressions as likely as those of people."""
    rng = np.random.default_rng(seed)
    low, high = [-0.2, -0.2, -1.3, -0.4, -0.8, -0.4], [0.2, 0.2, -0.8, 0.4, 0.8, 0.4]
    camera = rng.uniform(low, high, (frames, 6)).astype(np.float32)
    identity = rng.standard_normal(len(model.identity)).astype(np.float32) * model.identity_scale
    expression = rng.standard_normal((frames, len(model.expression))).astype(np.float32) * model.expression_scale
    return camera, identity, expression


def edges(triangles: np.ndarray) -> list[tuple[int, int]]:
    return [(int(row[i]), int(row[(i + 1) % 3])) for row in triangles for i in range(3)]


def rim(triangles: np.ndarray) -> set[tuple[int, int]]:
    """Edges with a triangle on one side alone."""
    own = set(edges(triangles))
    return {edge for edge in own if edge[::-1] not in own}


# --- mesh and bases


def test_the_mesh_is_one_piece_of_skin_with_holes_for_eyes_and_mouth(model: FaceModel):
    skin = model.triangles[:SKIN_TRIANGLES]
    undirected = {tuple(sorted(edge)) for edge in edges(skin)}
    assert 468 - len(undirected) + len(skin) == 1 - 3  # a disc with three holes (Euler)
    rings = [ring for ring in (OVAL, LEFT_EYE, RIGHT_EYE, LIPS_INNER)]
    around = {tuple(sorted((ring[i], ring[i - 1]))) for ring in rings for i in range(len(ring))}
    assert {tuple(sorted(edge)) for edge in rim(skin)} == around


def test_with_the_fillings_it_is_a_disc_whose_rim_is_the_oval(model: FaceModel):
    whole = model.triangles
    assert len(whole) == 898 == len({tuple(sorted(row)) for row in whole.tolist()})
    assert len(edges(whole)) == len(set(edges(whole)))  # each edge runs each way once: one side is the outside
    assert 468 - len({tuple(sorted(edge)) for edge in edges(whole)}) + len(whole) == 1
    assert {point for edge in rim(whole) for point in edge} == set(OVAL)


def test_the_mean_face_is_symmetric_and_faces_the_camera(model: FaceModel):
    assert np.abs(model.mean[MIRROR[:468]] * FLIP - model.mean).max() < 1e-6
    a, b, c = np.moveaxis(model.mean[model.triangles][..., :2], 1, 0)
    area = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
    assert (area > 0).mean() > 0.95
    assert model.mean[1, 2] < model.mean[[234, 454], 2].min()  # the nose's tip is nearer than the temples
    assert model.mean[10, 1] < model.mean[152, 1]  # the brow is above the chin


def test_identity_and_expression_are_orthonormal_and_orthogonal_to_each_other(model: FaceModel):
    rows = np.concatenate([model.identity, model.expression]).reshape(-1, 468 * 3).astype(np.float64)
    assert np.abs(rows @ rows.T - np.eye(len(rows))).max() < 1e-5


def test_no_coefficient_moves_turns_or_grows_the_face(model: FaceModel):
    """What lets a camera be found without knowing who is seen."""
    weight = rigid_weights().astype(np.float64)[:, None]
    still = model.mean - (weight * model.mean).sum(0)
    modes = [np.broadcast_to(axis, (468, 3)) for axis in np.eye(3)]
    modes += [np.cross(axis, still) for axis in np.eye(3)] + [still]
    for basis in (model.identity, model.expression):
        for mode in modes:
            assert np.abs((basis * weight * mode).sum((1, 2))).max() < 1e-5


def test_the_packaged_file_is_small_and_lists_its_family():
    entry = packaged()["face-3d"]
    assert entry.family == "face-model"
    assert (PACKAGED / entry.file).stat().st_size < 1 << 20


def test_files_with_triangles_of_other_points_are_refused(tmp_path: Path):
    found = load(PACKAGED / "face-3d.safetensors")
    tensors = {**found.tensors, "triangles": torch.full((898, 3), 468, dtype=torch.int32)}
    save(tmp_path / "f.safetensors", tensors, family=found.family, config=found.config)
    with pytest.raises(WeightsError, match="other points than the 468"):
        load_face_model(tmp_path / "f.safetensors")
    with pytest.raises(WeightsError, match="is of family 'avfr'"):
        load_face_model("avfr-256")


# --- camera


def test_rotations_are_opencvs_and_come_back():
    vectors = np.random.default_rng(0).standard_normal((50, 3))
    vectors[0], vectors[1], vectors[2] = 0, (np.pi, 0, 0), (1e-9, 0, 0)
    found = rotation_matrices(vectors)
    assert np.abs(found - [cv2.Rodrigues(vector)[0] for vector in vectors]).max() < 1e-12
    assert np.abs(rotation_matrices(rotation_vectors(found)) - found).max() < 1e-7
    short = np.linalg.norm(vectors, axis=1) < 3.1
    assert np.abs(rotation_vectors(found) - vectors)[short].max() < 1e-7


def test_points_are_the_turned_scaled_and_moved_shape(model: FaceModel):
    camera, identity, expression = drawn_lots(model, 2)
    points = model.points(camera, identity, expression)
    shape = model.mean + np.tensordot(identity, model.identity, 1) + np.tensordot(expression[1], model.expression, 1)
    wanted = np.exp(camera[1, 2]) * shape @ cv2.Rodrigues(camera[1, 3:].astype(np.float64))[0].T
    wanted[:, :2] += camera[1, :2]
    assert np.abs(points[1] - wanted).max() < 1e-5


# --- fitting


def test_what_a_clip_was_made_of_is_found(model: FaceModel):
    camera, identity, expression = drawn_lots(model, 12)
    meshes = model.points(camera, identity, expression)
    meshes[:, :, 2] += np.linspace(-1, 1, 12, dtype=np.float32)[:, None]  # depth has no origin
    fit = fit_clip(meshes, model)
    assert np.abs(fit.camera - camera).max() < 1e-3
    assert np.abs(fit.identity - identity).max() < 1e-3
    assert np.abs(fit.expression - expression).max() < 1e-3
    assert vertex_error(meshes, fit, model).max() < 1e-4


def test_irises_do_not_matter(model: FaceModel):
    meshes = model.points(*drawn_lots(model, 2))
    with_irises = np.concatenate([meshes, np.full((2, 10, 3), 7, np.float32)], 1)
    assert (fit_clip(with_irises, model).expression == fit_clip(meshes, model).expression).all()
    with pytest.raises(ValueError, match="468 or more"):
        fit_clip(meshes[:, :460], model)


def test_a_mirrored_face_has_mirrored_coefficients(model: FaceModel):
    camera, identity, expression = drawn_lots(model, 5)
    mirrored = model.points(camera, identity, expression)[:, MIRROR[:468]] * FLIP
    fit = fit_clip(mirrored, model)
    for signs in model.mirror_signs:
        assert np.abs(np.abs(signs) - 1).max() < 1e-4
    of_identity, of_expression = model.mirror_signs
    assert np.abs(fit.identity - identity * of_identity).max() < 1e-3
    assert np.abs(fit.expression - expression * of_expression).max() < 1e-3
    assert np.abs(fit.camera - camera * [-1, 1, 1, 1, -1, -1]).max() < 1e-3


def test_frames_one_by_one_are_the_clip(model: FaceModel):
    camera, identity, expression = drawn_lots(model, 30)
    meshes = model.points(camera, identity, expression)
    clip = fit_clip(meshes, model)
    track = IdentityTrack(model)
    for number, mesh in enumerate(meshes):
        fit = track.see(mesh)
        assert np.abs(fit.camera - clip.camera[number]).max() < 1e-5
        assert np.abs(fit.expression - clip.expression[number]).max() < 1e-5
    assert np.abs(fit.identity - clip.identity).max() < 1e-5
    assert np.abs(fit.rest - clip.rest).max() < 1e-5


def test_an_identity_settles(model: FaceModel):
    camera, identity, expression = drawn_lots(model, 40)
    noise = np.random.default_rng(1).standard_normal((40, 468, 3)).astype(np.float32) * 0.01
    meshes = model.points(camera, identity, expression) + noise
    track = IdentityTrack(model, settled=20)
    seen = [track.see(mesh).identity for mesh in meshes]
    apart = [float(np.abs(own - identity).max()) for own in seen]
    assert apart[19] < apart[0] / 2
    assert all((own == seen[19]).all() for own in seen[20:])


def test_a_held_identity_and_a_turn_beyond_half_a_circle_go_on(model: FaceModel):
    camera, identity, expression = drawn_lots(model, 1)
    camera[0, 3:] = (0, 0, 3.1)
    before = fit_frame(model.points(camera, identity, expression)[0], model=model)
    camera[0, 3:] = (0, 0, 3.2)
    held = np.zeros(len(model.identity), np.float32)
    fit = fit_frame(model.points(camera, identity, expression)[0], held, before, model)
    assert fit.camera[5] == pytest.approx(3.2, abs=1e-3)
    assert (fit.identity == 0).all()
    assert (fit.rest == before.rest).all()


def test_somebody_moves_as_another_does(model: FaceModel):
    """At rest the driven person has the own resting face, whoever drives."""
    driver, own = (np.random.default_rng(seed).standard_normal(30).astype(np.float32) for seed in (1, 2))
    assert np.allclose(model.moved_as(driver, rest=driver, own_rest=own), own)
    moved = model.moved_as(driver + 0.5, rest=driver, own_rest=own)
    assert np.allclose(moved - own, 0.5, atol=1e-6)
