"""Where eyes look goes into four numbers and comes out at the same place, whatever the head's pose."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from visavis.drawn.drawing import Pose, draw
from visavis.face.align import whole
from visavis.face.fitting import fit_clip
from visavis.face.gaze import CORNERS, FRONT, IRISES, RADIUS, gaze_of, iris_mask, irises, mirrored_gaze
from visavis.face.mesh import LEFT_EYE, RIGHT_EYE, to_pixels
from visavis.face.mirror import mirror_mesh
from visavis.face.model3d import FaceModel, load_face_model, rotation_matrices
from visavis.face.tracker import FaceTracker

MeshOf = Callable[[Pose], np.ndarray]


@pytest.fixture(scope="module")
def model() -> FaceModel:
    return load_face_model()


@pytest.fixture(scope="module")
def mesh_of():
    with FaceTracker(video=False) as tracker:

        def find(pose: Pose) -> np.ndarray:
            face = tracker.find(draw(256, 3, pose))
            assert face is not None
            return whole(256, 256).to_crop(face.mesh)

        yield find


def test_a_look_to_the_side_is_seen_in_both_eyes_and_does_not_depend_on_the_roll_of_the_head(mesh_of: MeshOf):
    sideways = {}
    for roll in (0.0, 0.3):
        meshes = np.stack([mesh_of(Pose(gaze=gaze, roll=roll)) for gaze in (-1.0, 0.0, 1.0)])
        sideways[roll] = gaze_of(meshes, fit_clip(meshes).camera)[..., 0]
        assert (np.diff(sideways[roll], axis=0) > 0.05).all()
    assert np.abs(sideways[0.0] - sideways[0.3]).max() < 0.12


@pytest.mark.parametrize("turn", [(0, 0, 0), (0.2, 0.5, 0.1), (-0.3, -0.6, 0.4)])
def test_irises_of_a_posed_face_are_found_where_they_were_put(turn: tuple[float, ...], model: FaceModel):
    camera = np.array([0.1, -0.2, np.log(0.4), *turn], np.float32)
    zeros = np.zeros(len(model.identity), np.float32), np.zeros(len(model.expression), np.float32)
    points = model.points(camera, *zeros)
    wanted = np.array([[0.3, -0.1], [0.25, 0.05]], np.float32)
    middles, radii = irises(points, camera, wanted)
    mesh = np.concatenate([points, np.zeros((10, 3), np.float32)])
    # The picture tells no depth: put the irises back where they lie in front of the eye's corners.
    flat = model.points(np.array([0, 0, 0, 0, 0, 0], np.float32), *zeros)
    assert radii == pytest.approx(
        RADIUS * np.linalg.norm(flat[[33, 263]] - flat[[133, 362]], axis=1) / 2 * 0.4, rel=1e-3
    )
    for eye, (outer, inner) in enumerate(CORNERS):
        half = np.linalg.norm(points[outer] - points[inner]) / 2
        away = np.array([*(wanted[eye] * half), -FRONT * half]) @ rotation_matrices(camera[3:6]).T
        mesh[IRISES[eye]] = (points[outer] + points[inner]) / 2 + away
    assert middles == pytest.approx(mesh[list(IRISES), :2], abs=1e-5)
    assert gaze_of(mesh, camera) == pytest.approx(wanted, abs=1e-4)


def test_a_mirror_swaps_the_eyes_and_the_sides(mesh_of: MeshOf):
    mesh = mesh_of(Pose(gaze=0.7, roll=0.1))[None]
    straight, mirrored = (gaze_of(one, fit_clip(one).camera) for one in (mesh, mirror_mesh(mesh)))
    assert mirrored == pytest.approx(mirrored_gaze(straight), abs=0.02)


def test_an_iris_is_drawn_between_the_lids_alone_and_vanishes_as_they_shut(mesh_of: MeshOf):
    mesh = mesh_of(Pose(gaze=0.5))
    camera = fit_clip(mesh[None]).camera[0]
    shown = iris_mask(mesh, camera, gaze_of(mesh, camera), 256)
    pixels = to_pixels(mesh, 256)
    assert shown.sum() > 40
    rows, columns = np.nonzero(shown)
    for row, column in zip(rows, columns, strict=True):
        ring = pixels[list(LEFT_EYE if column > pixels[168, 0] else RIGHT_EYE)]
        assert (ring.min(0) - 1 <= (column, row)).all() and ((column, row) <= ring.max(0) + 1).all()
    shut = mesh.copy()
    for eye in (np.array(LEFT_EYE), np.array(RIGHT_EYE)):
        shut[eye[9:16]] = shut[eye[7:0:-1]]
    assert iris_mask(shut, camera, gaze_of(shut, camera), 256).sum() < 0.5 * shown.sum()


def test_meshes_without_irises_are_refused():
    with pytest.raises(ValueError, match="478"):
        gaze_of(np.zeros((1, 468, 3), np.float32), np.zeros((1, 6), np.float32))
