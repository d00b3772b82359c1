"""Frames whose eyes look broken: where is looked, what counts, and that a person can go and look."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from visavis.drawn.synthetic import Pose, draw, write_clip
from visavis.evaluation.clip import read_clip
from visavis.evaluation.measure import ClipMeasure
from visavis.evaluation.metrics.broken import EXCESS, SourceEyes, excess, eye_place
from visavis.evaluation.networks import MetricNetworks
from visavis.evaluation.protocol import Protocol
from visavis.evaluation.report import markdown
from visavis.evaluation.results import ClipResult, ModelResult, Tally
from visavis.face.mesh import LEFT_EYE, RIGHT_EYE
from visavis.face.tracker import FaceTracker


def mesh_of(picture: np.ndarray) -> np.ndarray:
    with FaceTracker(video=False) as tracker:
        face = tracker.find(picture)
    assert face is not None
    return face.mesh


def made_mesh(roll: float = 0.0) -> np.ndarray:
    """Eyes 60 apart at their outer corners and 20 wide, turned about (128, 128)."""
    mesh = np.full((478, 2), 128.0)
    for indices, x in ((RIGHT_EYE, 108), (LEFT_EYE, 148)):
        mesh[list(indices)] = (x, 110)
    mesh[33], mesh[133], mesh[263], mesh[362] = (98, 110), (118, 110), (158, 110), (138, 110)
    cos, sin = np.cos(roll), np.sin(roll)
    return ((mesh - 128) @ np.array([[cos, sin], [-sin, cos]]) + 128).astype(np.float32)


def smeared(picture: np.ndarray, mesh: np.ndarray) -> np.ndarray:
    """Rings of blue and grey over one eye."""
    out = picture.copy()
    centre = tuple(int(v) for v in mesh[list(RIGHT_EYE), :2].mean(0))
    for radius, colour in ((9, (90, 130, 150)), (6, (190, 190, 190)), (3, (60, 90, 120))):
        cv2.circle(out, centre, radius, colour, 2)
    return out


@pytest.mark.parametrize("roll", [0.0, 0.5])
def test_each_eye_lies_upright_in_the_middle_of_its_crop_with_the_nose_on_the_right(roll: float):
    mesh = made_mesh(roll)
    for eye, (outer, inner) in enumerate(((33, 133), (263, 362))):
        placed = eye_place(mesh, eye).of(mesh[[outer, inner]])
        np.testing.assert_allclose(placed.mean(0), (16, 16), atol=0.01 if roll == 0 else 0.5)
        np.testing.assert_allclose(placed[1] - placed[0], (20 * 32 / (60 * 0.62), 0), atol=0.01)


def test_a_crop_holds_the_pixels_that_its_points_say():
    picture = np.zeros((256, 256, 3), np.uint8)
    picture[106:110, 150:154] = 255  # edges; its middle is (152, 108)
    place = eye_place(made_mesh(), 1, 1.5)
    crop = place.cut(picture)[..., 0].astype(float)
    y, x = np.mgrid[0:48, 0:48] + 0.5
    found = np.array([(crop * x).sum(), (crop * y).sum()]) / crop.sum()
    np.testing.assert_allclose(found, place.of(np.array([[152, 108]], np.float32))[0], atol=0.1)


def test_moved_eyes_are_made_of_what_the_source_shows_and_smeared_ones_are_not():
    source = draw(256, 1)
    eyes = SourceEyes(source, mesh_of(source))
    assert eyes.foreign(source, mesh_of(source)) < 5e-3
    moved = draw(256, 1, Pose(x=0.04, roll=0.1, gaze=0.4, yaw=0.2))
    mesh = mesh_of(moved)
    usual = eyes.foreign(moved, mesh)
    assert eyes.foreign(smeared(moved, mesh), mesh) > usual + 2 * EXCESS


def test_a_frame_is_compared_with_the_clips_usual_one():
    assert excess([0.05, 0.06, 0.3, 0.05]) == pytest.approx([-0.005, 0.005, 0.245, -0.005])
    assert excess([]) == []


def test_broken_frames_are_counted_in_all_that_is_rendered_and_told_with_their_times(tmp_path: Path):
    write_clip(tmp_path / "a.mp4", 0.8, seed=1)
    clip = read_clip(tmp_path / "a.mp4", every=5, window_s=0.4)
    assert clip.window is not None
    times = {seen.observation.time for seen in [*clip.driving, *clip.window.frames]}
    worst = Fraction(10, 25)

    good_pictures = {seen.observation.time: seen.observation.picture for seen in [*clip.driving, *clip.window.frames]}
    meshes = {seen.observation.time: seen.face.mesh for seen in [*clip.driving, *clip.window.frames]}
    bad_pictures = {**good_pictures, worst: smeared(good_pictures[worst], meshes[worst])}

    with FaceTracker(video=False) as tracker:
        measure = ClipMeasure(clip, clip.source, Protocol.SAME, MetricNetworks(), tracker)
        result, _ = measure.measure(bad_pictures)
        good, _ = measure.measure(good_pictures)
    assert result.sums["broken_eyes"] == (1, len(times))
    ((score, time),) = result.broken
    assert (time, score > EXCESS) == (0.4, True)
    assert good.sums["broken_eyes"] == (0, len(times))


def test_the_worst_frames_of_all_clips_come_first():
    tally = Tally(["good", "bad"])
    for name, broken in (("one", [(0.03, 1.0), (0.09, 2.0)]), ("two", [(0.1, 0.2)])):
        bad = ModelResult(broken=broken)
        tally.add(ClipResult(name, models={"good": ModelResult(), "bad": bad}))
    worst = tally.worst()
    assert list(worst) == ["bad"]
    assert [(one["clip"], one["seconds"], one["score"]) for one in worst["bad"]] == [
        ("two", 0.2, 0.1), ("one", 2.0, 0.09), ("one", 1.0, 0.03),
    ]  # fmt: skip
    report = {"protocol": "cross", "split": "val", "clips": 2, "frames": 3, "every": 5, "window_s": 2.0}
    report |= {"rows": tally.rows(), "models": {}, "note": "", "worst": worst, "networks": {}, "unavailable": {}}
    report |= {"by_pose": None}
    assert "- `bad`: two 0.20 s (0.100), one 2.00 s (0.090), one 1.00 s (0.030)" in markdown({**report, "failed": {}})
