"""A face is picked as a source when its eyes are open, its mouth shows what is inside, and it is sharp and frontal."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from visavis.core.errors import FaceError
from visavis.drawn.synthetic import Pose, draw
from visavis.face.align import whole
from visavis.face.readiness import Readiness, readiness
from visavis.face.tracker import FaceTracker
from visavis.face.types import Observation


@pytest.fixture(scope="module")
def tracker():
    with FaceTracker(video=False) as tracker:
        yield tracker


def seen(tracker: FaceTracker, pose: Pose, *, blur: float = 0.0) -> Observation:
    picture = draw(256, 3, pose)
    face = tracker.find(picture)
    assert face is not None
    if blur:
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), blur), np.uint8)
    return Observation(picture, mesh=whole(256, 256).to_crop(face.mesh))


def test_each_part_falls_with_its_own_fault(tracker: FaceTracker):
    good = readiness(seen(tracker, Pose(mouth=0.5)))
    assert good.eyes > 0.9 and good.mouth > 0.9 and good.frontal > 0.6
    blinking = readiness(seen(tracker, Pose(mouth=0.5, lids=1.0)))
    assert blinking.eyes < 0.5 and blinking.total < 0.5 * good.total
    closed, turned = readiness(seen(tracker, Pose())), readiness(seen(tracker, Pose(mouth=0.5, yaw=0.8)))
    assert 0.5 <= closed.mouth < good.mouth
    assert turned.frontal < good.frontal and turned.total < good.total
    blurred = readiness(seen(tracker, Pose(mouth=0.5), blur=2.0))
    assert blurred.sharpness < 0.8 * good.sharpness
    assert blurred.eyes == pytest.approx(good.eyes, abs=0.05)


def test_a_mouth_that_gapes_is_worse_than_one_that_is_closed(tracker: FaceTracker):
    mesh = seen(tracker, Pose()).mesh
    assert mesh is not None
    gaping = mesh.copy()
    gaping[[87, 14, 317], 1] += 0.5
    picture = draw(256, 3)
    assert readiness(Observation(picture, mesh=gaping)).mouth < readiness(Observation(picture, mesh=mesh)).mouth


def test_the_judgement_does_not_depend_on_the_picture_s_size(tracker: FaceTracker):
    one = seen(tracker, Pose(mouth=0.4))
    large = replace(one, picture=np.asarray(cv2.resize(one.picture, (512, 512)), np.uint8))
    assert readiness(large).total == pytest.approx(readiness(one).total, rel=0.1)


def test_the_total_is_the_product_and_a_mesh_is_needed():
    assert Readiness(0.5, 0.5, 1.0, 1.0).total == 0.25
    with pytest.raises(FaceError, match="mesh"):
        readiness(Observation(draw(64, 0)))
