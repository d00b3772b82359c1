"""The mesh's mirror map: every point has a partner, and a mirrored mesh is the mirrored face's."""

from __future__ import annotations

import numpy as np
import pytest

from visavis.face.mesh import (
    LEFT_BROW,
    LEFT_EYE,
    LEFT_IRIS,
    LIPS_INNER,
    LIPS_OUTER,
    OVAL,
    RIGHT_BROW,
    RIGHT_EYE,
    RIGHT_IRIS,
)
from visavis.face.mirror import MIRROR, mirror_mesh
from visavis.face.morphable import LinearFaceModel
from visavis.weights.checkpoint import load
from visavis.weights.store import resolve


@pytest.fixture(scope="module")
def model() -> LinearFaceModel:
    tensors = load(resolve("avfr-256")).tensors
    return LinearFaceModel(*(tensors[f"mesh_model.{name}"].float().numpy() for name in ("mean", "basis")))


def test_a_mirror_in_a_mirror_shows_the_face_itself():
    assert (MIRROR[MIRROR] == np.arange(478)).all()
    mesh = np.random.default_rng(0).standard_normal((3, 478, 3)).astype(np.float32)
    assert (mirror_mesh(mirror_mesh(mesh)) == mesh).all()


@pytest.mark.parametrize(
    ("left", "right"),
    [(LEFT_EYE, RIGHT_EYE), (LEFT_BROW, RIGHT_BROW), (LEFT_IRIS, RIGHT_IRIS), (OVAL, OVAL), ((473,), (468,))],
)
def test_parts_of_one_side_are_those_of_the_other(left: tuple[int, ...], right: tuple[int, ...]):
    assert {int(MIRROR[point]) for point in left} == set(right)


@pytest.mark.parametrize("ring", [LIPS_OUTER, LIPS_INNER])
def test_lips_turn_about_their_middle(ring: tuple[int, ...]):
    assert [int(MIRROR[point]) for point in ring] == [ring[(10 - i) % 20] for i in range(20)]


def test_the_map_is_the_nearest_assignment_of_the_reflected_mean_face(model: LinearFaceModel):
    optimize = pytest.importorskip("scipy.optimize")
    reflected = model.mean * np.array([-1, 1, 1], np.float32)
    of_reflected, of_mean = reflected - reflected.mean(0), model.mean - model.mean.mean(0)
    # The reflection, turned back over the face by its own pairs.
    u, _, vt = np.linalg.svd(of_mean[MIRROR].T @ of_reflected)
    turned = of_reflected @ (u @ np.diag([1, 1, np.sign(np.linalg.det(u @ vt))]) @ vt).T
    distances = np.linalg.norm(turned[:, None] - of_mean[None], axis=-1)
    assert (optimize.linear_sum_assignment(distances**2)[1] == MIRROR).all()
    assert distances[np.arange(478), MIRROR].max() < 0.02


def test_coefficients_of_a_mirrored_mesh_draw_it_as_well_as_those_of_the_mesh_itself(model: LinearFaceModel):
    """Talking faces that turn: mirrored meshes are fitted about as closely, and turn the other way.

    The mean face looks somewhat aside by itself, so that turns are compared with each other and not with nought.
    """
    turned = []
    for yaw in (-0.3, 0.3):
        values = np.zeros(46, np.float32)
        values[:6] = (0.1, -0.05, -1.2, 0.1, yaw, 0.05)
        values[6:16] = np.random.default_rng(0).standard_normal(10) * 0.3
        mirrored = mirror_mesh(model.points(values))
        found = model.fit(mirrored)
        assert np.abs(model.points(found)[:, :2] - mirrored[:, :2]).mean() < 0.01
        assert found[0] == pytest.approx(-values[0], abs=0.01)
        assert found[1:3] == pytest.approx(values[1:3], abs=0.01)
        turned.append(float(found[4]))
    assert turned[1] - turned[0] == pytest.approx(-0.6, abs=0.05)
