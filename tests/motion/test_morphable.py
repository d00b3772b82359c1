"""Coefficients of a 3D face go from one person to another: lips touch as the driver's; on drawn faces."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from visavis.drawn.drawing import Pose, draw
from visavis.face.align import whole
from visavis.face.fitting import fit_clip, fit_frame
from visavis.face.mesh import LIP_PAIRS
from visavis.face.model3d import load_face_model
from visavis.face.tracker import FaceTracker
from visavis.motion.kind import Meshes, Mode
from visavis.motion.layout import Motion
from visavis.motion.morphable_kind import MorphableKind

Array = NDArray[np.float32]
FACE = load_face_model()
SPEECH = (0.9, 0.0, 0.4, 0.7, 0.0, 0.2, 0.9, 0.5, 0.0)


def shapes(meshes: Meshes) -> Array:
    found = fit_clip(np.stack(meshes), FACE)
    return np.concatenate([np.tile(found.identity, (len(meshes), 1)), found.expression], 1)


KIND = MorphableKind(len(FACE.identity), len(FACE.expression), FACE, shapes)


@pytest.fixture(scope="module")
def mesh_of():
    known: dict[tuple[int, Pose], Array] = {}
    with FaceTracker(video=False) as tracker:

        def find(seed: int, pose: Pose) -> Array:
            if (seed, pose) not in known:
                face = tracker.find(draw(256, seed, pose))
                assert face is not None
                known[seed, pose] = whole(256, 256).to_crop(face.mesh)
            return known[seed, pose]

        yield find


def motion(mesh: Array) -> Motion:
    found = fit_frame(mesh, model=FACE)
    return Motion.of(KIND.layout, identity=found.identity, expression=found.expression, camera=found.camera)


def lips_px(mesh: Array) -> float:
    upper, lower = np.array(LIP_PAIRS).T
    return float(128 * (mesh[lower, 1] - mesh[upper, 1]).mean())


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize(("source", "first"), tuple(product((0.0, 0.9), (0.0, 0.9))))
def test_a_mouth_opens_and_closes_as_its_driver_s_whatever_state_either_begins_in(
    source: float, first: float, mode: Mode, mesh_of: Callable[[int, Pose], Array]
):
    speech = SPEECH if first == SPEECH[0] else SPEECH[1:]
    driving = [mesh_of(1, Pose(mouth=mouth)) for mouth in speech]
    portrait = motion(mesh_of(3, Pose(mouth=source)))
    for ahead in (driving, []):
        carry = KIND.carrier(portrait, motion(driving[0]), mode, ahead=ahead)
        moved = [carry(motion(mesh)) for mesh in driving]
        assert all(np.array_equal(each["identity"], portrait["identity"]) for each in moved)
        made = [FACE.points(each["camera"], each["identity"], each["expression"]) for each in moved]
        wanted, found = (np.array([lips_px(mesh) for mesh in meshes]) for meshes in (driving, made))
        assert np.corrcoef(wanted, found)[0, 1] >= 0.97
        assert np.ptp(found) == pytest.approx(np.ptp(wanted), rel=0.15)
        assert np.abs(found[np.array(speech) == 0]).max() < 1.0
