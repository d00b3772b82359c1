"""Around eyes that close lies the skin that the source shows there, at full resolution."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from visavis.face.lids import Lids
from visavis.face.mesh import LEFT_EYE, RIGHT_EYE, to_pixels
from visavis.face.morphable import LinearFaceModel
from visavis.weights.checkpoint import load
from visavis.weights.store import resolve

SKIN, WHITE = (200, 150, 120), (250, 250, 255)
UPPER, LOWER = slice(9, 16), slice(7, 0, -1)


@pytest.fixture(scope="module")
def mesh() -> np.ndarray:
    """The mean face, large in the middle of the picture."""
    tensors = load(resolve("avfr-256")).tensors
    model = LinearFaceModel(tensors["mesh_model.mean"].float().numpy(), tensors["mesh_model.basis"].float().numpy())
    values = np.zeros(model.size, np.float32)
    values[2] = np.log(0.7)
    return model.points(values)


def portrait(mesh: np.ndarray) -> np.ndarray:
    """Skin all over, and white between the lids."""
    picture = np.full((256, 256, 3), SKIN, np.uint8)
    for eye in (LEFT_EYE, RIGHT_EYE):
        cv2.fillPoly(picture, [np.rint(to_pixels(mesh, 256)[list(eye)]).astype(np.int32)], WHITE)
    return picture


def closed(mesh: np.ndarray, share: float = 1.0) -> np.ndarray:
    """The upper lids brought down to the lower ones by a share of the way."""
    moved = mesh.copy()
    for eye in (np.array(LEFT_EYE), np.array(RIGHT_EYE)):
        moved[eye[UPPER]] += share * (mesh[eye[LOWER]] - mesh[eye[UPPER]])
    return moved


def overlaid(picture: np.ndarray, lids: Lids, mesh: np.ndarray) -> np.ndarray:
    """The picture with what is laid over."""
    out = picture.astype(np.float32) / 255
    for patch in lids.patches(mesh):
        height, width = patch.weight.shape[:2]
        here = out[patch.top : patch.top + height, patch.left : patch.left + width]
        here += patch.weight * (patch.picture - here)
    return np.rint(255 * out)


def under_brows(mesh: np.ndarray) -> list[np.ndarray]:
    """A place halfway between the crease of each upper lid and its brow, in whole pixels ``(x, y)``."""
    points = to_pixels(mesh, 256)
    return [np.rint(points[list(pair)].mean(0)).astype(int) for pair in ((27, 52), (257, 282))]


def test_a_grey_patch_under_the_brow_of_a_closed_eye_becomes_the_skin_that_the_source_has_there(mesh):
    picture = portrait(mesh)
    grey = np.full_like(picture, 128)
    made = overlaid(grey, Lids(picture, mesh), closed(mesh))
    for x, y in under_brows(mesh):
        assert np.abs(made[y, x] - SKIN).max() <= 3
    eyes = to_pixels(closed(mesh), 256)[[159, 386]].round().astype(int)
    assert all((made[y, x] == 128).all() for x, y in eyes), "lids and lashes are the network's"


def test_skin_is_carried_along_with_the_mesh(mesh):
    """A mark under the brow stays under the brow when the whole face moves."""
    picture = portrait(mesh)
    for x, y in under_brows(mesh):
        cv2.circle(picture, (int(x), int(y)), 1, (0, 0, 255), -1)
    moved = closed(mesh) + np.array([12 / 128, -7 / 128, 0], np.float32)
    made = overlaid(np.full_like(picture, 128), Lids(picture, mesh), moved)
    for x, y in under_brows(mesh):
        assert np.abs(made[y - 7, x + 12] - (0, 0, 255)).max() <= 60


def test_open_eyes_and_all_that_is_not_an_eye_stay_as_they_are(mesh):
    picture = portrait(mesh)
    lids = Lids(picture, mesh)
    assert list(lids.patches(mesh)) == []
    speckled = np.random.default_rng(0).integers(0, 255, picture.shape, dtype=np.uint8)
    changed = (overlaid(speckled, lids, closed(mesh)) != speckled).any(-1)
    rows = np.nonzero(changed)[0]
    points = to_pixels(mesh, 256)
    brows_to_cheeks = points[[105, 334, 230, 450], 1]
    assert brows_to_cheeks.min() - 4 <= rows.min() and rows.max() <= brows_to_cheeks.max() + 4
    assert not changed[:, 126:130].any(), "the bridge of the nose"


def test_a_blink_fades_in_without_a_jump(mesh):
    lids = Lids(portrait(mesh), mesh)
    shares = np.linspace(0, 1, 101)
    most = [max((patch.weight.max() for patch in lids.patches(closed(mesh, share))), default=0.0) for share in shares]
    assert most[0] == 0 and most[-1] == 1
    assert np.abs(np.diff(most)).max() < 0.06


def test_one_eye_winks_alone(mesh):
    winking = mesh.copy()
    winking[list(LEFT_EYE)] = closed(mesh)[list(LEFT_EYE)]
    (patch,) = Lids(portrait(mesh), mesh).patches(winking)
    assert patch.left > 128, "the left eye is on the right of the picture"


def test_eyes_that_are_shut_in_the_source_are_left_to_the_network(mesh):
    shut = closed(mesh)
    assert list(Lids(portrait(shut), shut).patches(shut)) == []


@pytest.mark.parametrize("spoilt", [np.nan, np.inf, 1e6])
def test_meshes_that_no_face_has_lay_nothing_over(mesh, spoilt):
    wild = closed(mesh)
    wild[:, 0] = spoilt
    assert all(np.isfinite(patch.picture).all() for patch in Lids(portrait(mesh), mesh).patches(wild))


def test_skin_that_turns_away_is_left_out(mesh):
    lids, shut = Lids(portrait(mesh), mesh), closed(mesh)
    behind = shut * np.array([-1, 1, 1], np.float32)  # seen from behind, triangles are turned over
    front_weight, back_weight = (sum(patch.weight.sum() for patch in lids.patches(seen)) for seen in (shut, behind))
    assert back_weight < 0.05 * front_weight
