"""Lips of an open mouth meet in the picture when they meet in the mesh."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from visavis.face.lips import Lips
from visavis.face.mesh import LIPS_INNER, LIPS_OUTER, to_pixels
from visavis.face.morphable import LinearFaceModel
from visavis.weights.checkpoint import load
from visavis.weights.store import resolve

SKIN, LIP, TEETH = (200, 150, 120), (170, 60, 60), (250, 250, 240)
UPPER, LOWER = np.array(LIPS_INNER[1:10]), np.array(LIPS_INNER[19:10:-1])


@pytest.fixture(scope="module")
def shut() -> np.ndarray:
    """The mean face, large in the middle of the picture, its lips together."""
    tensors = load(resolve("avfr-256")).tensors
    model = LinearFaceModel(tensors["mesh_model.mean"].float().numpy(), tensors["mesh_model.basis"].float().numpy())
    values = np.zeros(model.size, np.float32)
    values[2] = np.log(0.7)
    mesh = model.points(values)
    mesh[UPPER] = mesh[LOWER] = (mesh[UPPER] + mesh[LOWER]) / 2
    return mesh


def opened(shut: np.ndarray, px: float) -> np.ndarray:
    """The lower lip, its edges and all, so many pixels of 256 lower."""
    mesh = shut.copy()
    mesh[LOWER, 1] += px / 128
    mesh[list(LIPS_OUTER[11:]), 1] += px / 128
    return mesh


def portrait(mesh: np.ndarray) -> np.ndarray:
    picture = np.full((256, 256, 3), SKIN, np.uint8)
    points = np.rint(to_pixels(mesh, 256)).astype(np.int32)
    cv2.fillPoly(picture, [points[list(LIPS_OUTER)]], LIP)
    cv2.fillPoly(picture, [points[list(LIPS_INNER)]], TEETH)
    return picture


def overlaid(picture: np.ndarray, lips: Lips, mesh: np.ndarray) -> np.ndarray:
    out = picture.astype(np.float32) / 255
    for patch in lips.patches(mesh):
        height, width = patch.weight.shape[:2]
        here = out[patch.top : patch.top + height, patch.left : patch.left + width]
        here += patch.weight * (patch.picture - here)
    return np.rint(255 * out)


def test_teeth_between_lips_that_meet_become_lip_with_a_darker_line(shut):
    source = opened(shut, 12)
    left_over = np.full((256, 256, 3), TEETH, np.uint8)
    made = overlaid(left_over, Lips(portrait(source), source), shut)
    x, y = np.rint(to_pixels(shut, 256)[[13, 14]].mean(0)).astype(int)
    lip = made[y + 4, x]
    assert np.abs(lip - LIP).max() < 40, "lip beside the line, and no teeth"
    assert (made[y, x] < lip).all()


def test_what_is_not_lip_stays_as_it_is(shut):
    source = opened(shut, 12)
    speckled = np.random.default_rng(0).integers(0, 255, (256, 256, 3), dtype=np.uint8)
    changed = (overlaid(speckled, Lips(portrait(source), source), shut) != speckled).any(-1)
    ring = np.zeros((256, 256), np.uint8)
    cv2.fillPoly(ring, [np.rint(to_pixels(shut, 256)[list(LIPS_OUTER)]).astype(np.int32)], 1)
    assert changed.any() and not (changed & (cv2.dilate(ring, np.ones((5, 5))) == 0)).any()


def test_open_mouths_and_portraits_that_are_closed_are_left_to_the_network(shut):
    source = opened(shut, 12)
    assert list(Lips(portrait(source), source).patches(source)) == []
    assert list(Lips(portrait(shut), shut).patches(shut)) == []


def test_a_mouth_closes_without_a_jump(shut):
    source = opened(shut, 12)
    lips = Lips(portrait(source), source)
    most = [
        max((patch.weight.max() for patch in lips.patches(opened(shut, px))), default=0.0)
        for px in np.linspace(12, 0, 121)
    ]
    assert most[0] == 0 and most[-1] > 0.95
    assert np.abs(np.diff(most)).max() < 0.08


@pytest.mark.parametrize("spoilt", [np.nan, np.inf, 1e6])
def test_meshes_that_no_face_has_lay_nothing_over(shut, spoilt):
    source, wild = opened(shut, 12), shut.copy()
    wild[:, 0] = spoilt
    assert all(np.isfinite(patch.picture).all() for patch in Lips(portrait(source), source).patches(wild))
