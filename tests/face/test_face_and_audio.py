"""Conventions of mesh, crop, face model, sound window and transfer, checked against hand-made truth."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch

from made import tiny_mesh
from visavis.audio.feature import MEL_WINDOW
from visavis.audio.mel import RATE_HZ, WINDOW_SAMPLES, log_mel
from visavis.audio.window import SoundWindow
from visavis.drawn.synthetic import TalkingFace, draw
from visavis.evaluation.baselines import mesh_warp
from visavis.evaluation.metrics.image import l1, psnr, ssim
from visavis.evaluation.metrics.landmarks import landmark_distance
from visavis.face.align import Crop, crop_for, whole
from visavis.face.mesh import CONTROL_POINTS, LEFT_LID_PAIRS, RIGHT_LID_PAIRS, draw_mesh, to_pixels
from visavis.face.morphable import LinearFaceModel, learn
from visavis.face.tracker import FaceTracker
from visavis.face.types import Face, Observation
from visavis.generators.avfr.config import AvfrConfig
from visavis.generators.avfr.generator import AvfrGenerator
from visavis.generators.avfr.mesh_model import MeshModel
from visavis.media.frame import Sound
from visavis.motion.keypoint_kind import KeypointKind
from visavis.motion.keypoint_transfer import face_scale
from visavis.motion.kind import Mode
from visavis.motion.layout import Motion
from visavis.motion.smooth import OneEuro
from visavis.nn.thin_plate import warp_grid
from visavis.nn.warp import coordinate_grid, sample
from visavis.pipelines.load import load_generator


def faces_in_motion(count: int = 60) -> np.ndarray:
    """Meshes of one shape that opens a mouth of sorts, under random cameras."""
    rng = np.random.default_rng(0)
    base = tiny_mesh()
    opening = np.zeros_like(base)
    opening[base[:, 1] > 0.2, 1] = 0.1
    out = []
    for _ in range(count):
        angle = rng.uniform(-0.3, 0.3)
        turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
        shape = base + rng.uniform(0, 1) * opening
        out.append(rng.uniform(0.8, 1.2) * shape @ turn.T + np.array([*rng.uniform(-0.2, 0.2, 2), 0]))
    return np.array(out, np.float32)


def test_the_face_model_rebuilds_meshes_it_has_learned_from():
    meshes = faces_in_motion()
    model = learn(meshes, 6)
    for mesh in meshes[:10]:
        again = model.points(model.fit(mesh))
        assert np.abs(again[:, :2] - mesh[:, :2]).mean() < 0.004


def test_a_head_that_moves_changes_the_camera_and_not_the_shape():
    meshes = faces_in_motion()
    model = learn(meshes, 4)
    values = model.fit(meshes[0])
    moved = model.fit((1.1 * meshes[0] + np.array([0.1, -0.05, 0])).astype(np.float32))
    assert moved[2] - values[2] == pytest.approx(np.log(1.1), abs=1e-3)
    np.testing.assert_allclose(moved[3:], values[3:], atol=2e-3)


def test_the_network_and_the_face_room_agree_on_where_control_points_are():
    meshes = faces_in_motion()
    model = learn(meshes, 4)
    network = MeshModel(4)
    network.mean.copy_(torch.from_numpy(model.mean))
    network.basis.copy_(torch.from_numpy(model.basis))
    values = model.fit(meshes[3])
    found = network.controls(torch.from_numpy(values)[None]).points[0].numpy()
    control = np.array(CONTROL_POINTS)
    expected = model.points(values)[control, :2]
    # Lids are held apart where these noisy faces shut them; a test below is about that.
    others = ~np.isin(control, RIGHT_LID_PAIRS + LEFT_LID_PAIRS)
    assert others.sum() > 80
    np.testing.assert_allclose(found[others], expected[others], atol=1e-4)


def test_a_crop_puts_pixels_and_points_in_the_same_place():
    """A white spot is cut out, and the point given for it lands on it."""
    picture = np.zeros((200, 300, 3), np.uint8)
    picture[79:82, 119:122] = 255
    crop = Crop(60.5, 20.25, 130.0)
    cut = crop.cut(picture, 128).astype(np.float64)[..., 0]
    y, x = (float((cut * axis).sum() / cut.sum()) for axis in np.mgrid[:128, :128])
    spot = np.array([[120.5, 80.5, 0]], np.float32)
    np.testing.assert_allclose(to_pixels(crop.to_crop(spot), 128)[0], [x, y], atol=0.1)


def test_a_picture_that_is_a_crop_already_is_left_alone():
    picture = draw(256, seed=0)
    with FaceTracker(video=False) as tracker:
        face = tracker.find(picture)
        assert face is not None
        assert crop_for([face], 256, 256) == whole(256, 256)
        wide = np.pad(picture, ((40, 300), (200, 500), (0, 0)), mode="edge")
        far = tracker.find(wide)
    assert far is not None
    crop = crop_for([far], *wide.shape[:2])
    assert 150 < crop.side < 330
    assert np.array_equal(whole(256, 256).cut(picture, 256), picture)


def test_pasting_back_leaves_no_box():
    rng = np.random.default_rng(0)
    full = np.full((240, 320, 3), 120, np.uint8)
    crop = Crop(80, 40, 150)
    pasted = crop.paste(full, np.full((64, 64, 3), 200, np.uint8)).astype(int)
    assert np.abs(np.diff(pasted[..., 0], axis=0)).max() < 14
    assert np.abs(np.diff(pasted[..., 0], axis=1)).max() < 14
    assert pasted[115, 155, 0] == 200
    assert (pasted[:38] == 120).all()
    noise = rng.integers(0, 256, full.shape).astype(np.uint8)
    assert np.array_equal(Crop(500, 500, 60).paste(noise, np.zeros((64, 64, 3), np.uint8)), noise)


def test_a_drawing_is_where_the_points_are():
    mesh = tiny_mesh()
    drawing = draw_mesh(mesh, 128)
    x, y = to_pixels(mesh, 128)[61].round().astype(int)
    assert drawing[y - 1 : y + 2, x - 1 : x + 2].max() > 100
    assert draw_mesh(mesh + 1e6, 128).shape == (128, 128)


def test_the_tracker_follows_a_drawn_face_and_says_when_there_is_none():
    with FaceTracker() as tracker:
        for frame in TalkingFace(1).frames(5):
            face = tracker.find(frame.pixels)
            assert face is not None
            left, top, right, bottom = face.box
            assert 40 < left < right < 216 and 40 < top < bottom < 230
        assert tracker.find(np.full((256, 256, 3), 90, np.uint8)) is None
        assert tracker.find(np.zeros((1, 1, 3), np.uint8)) is None


def test_the_window_is_centred_on_the_frame():
    """A click at the frame's time is loudest in the middle of the window, at any frame rate."""
    samples = np.zeros(RATE_HZ, np.float32)
    samples[8000:8008] = 0.9
    chunks = [Sound(samples[i : i + 1000], RATE_HZ, Fraction(i, RATE_HZ)) for i in range(0, RATE_HZ, 1000)]
    mel = SoundWindow(chunks, MEL_WINDOW).at(Fraction(1, 2))
    loud = mel.sum(0)
    assert abs((loud * np.arange(20)).sum() / loud.sum() - 9.5) < 0.6


def test_streamed_windows_are_the_windows_of_the_whole():
    rng = np.random.default_rng(0)
    samples = rng.uniform(-0.5, 0.5, RATE_HZ).astype(np.float32)
    pieces = np.split(samples, [100, 3000, 3001, 9000])
    starts = [0, 100, 3000, 3001, 9000]
    window = SoundWindow(
        [Sound(p, RATE_HZ, Fraction(s, RATE_HZ)) for p, s in zip(pieces, starts, strict=True)], MEL_WINDOW
    )
    padded = np.pad(samples, WINDOW_SAMPLES)
    for time in (Fraction(0), Fraction(1001, 30000), Fraction(1, 2), Fraction(99, 100), Fraction(3)):
        first = round(time * RATE_HZ) - WINDOW_SAMPLES // 2 + WINDOW_SAMPLES
        part = padded[first : first + WINDOW_SAMPLES]
        expected = log_mel(np.pad(part, (0, WINDOW_SAMPLES - len(part))))
        np.testing.assert_array_equal(window.at(time), expected)


def test_a_gap_in_the_sound_is_silence():
    tone = np.sin(np.arange(1600) / 5).astype(np.float32)
    window = SoundWindow([Sound(tone, RATE_HZ, Fraction(0)), Sound(tone, RATE_HZ, Fraction(1))], MEL_WINDOW)
    assert window.at(Fraction(1, 20)).max() > 0.5
    assert window.at(Fraction(1, 2)).max() == 0
    assert window.at(Fraction(21, 20)).max() > 0.5


def test_a_thin_plate_warp_carries_points_onto_points():
    """Sampling with the grid moves a spot from its input place to its output place."""
    rng = np.random.default_rng(1)
    inputs = torch.from_numpy(rng.uniform(-0.5, 0.5, (1, 12, 2)).astype(np.float32))
    outputs = inputs + 0.08 * torch.from_numpy(rng.standard_normal((1, 12, 2)).astype(np.float32))
    grid = coordinate_grid(128, 128, align_corners=False)
    warp = warp_grid(outputs, inputs, grid)
    spot = torch.exp(-((grid - inputs[0, 4]) ** 2).sum(-1) / 0.002)[None, None]
    moved = sample(spot, warp)[0, 0]
    peak = grid.reshape(-1, 2)[moved.flatten().argmax()]
    assert torch.allclose(peak, outputs[0, 4], atol=0.04)
    identity = warp_grid(inputs, inputs, grid)
    assert torch.allclose(identity[0], grid, atol=1e-3)


def test_a_point_that_is_let_go_does_not_bend_the_warp():
    at = torch.tensor([[[-0.5, 0.0], [0.5, 0.0], [0.0, 0.5], [0.02, 0.52]]])
    wanted = at.clone()
    wanted[0, 3, 0] += 0.4
    stiffness = torch.tensor([[1e-4, 1e-4, 1e-4, 10.0]])
    grid = coordinate_grid(32, 32, align_corners=False)
    bent, straight = warp_grid(at, wanted, grid), warp_grid(at, wanted, grid, stiffness=stiffness)
    assert (bent[0] - grid).abs().max() > 0.3
    assert (straight[0] - grid).abs().max() < 0.02


@pytest.mark.parametrize("degrees", [-35, -25, 25, 35])
@pytest.mark.parametrize("axis", [0, 1], ids=["pitch", "yaw"])
def test_a_head_that_turns_away_does_not_fold_over_itself(axis: int, degrees: float):
    """What lies left of something in the source still does in the warp, though the mesh's far side lies over it."""
    generator = load_generator("avfr-256")
    assert isinstance(generator, AvfrGenerator)
    network = generator.network
    still = torch.zeros(1, 6 + network.config.mesh_coefficients)
    still[0, 2] = np.log(0.45 / network.mesh_model.mean[:, 0].abs().max())
    turned = still.clone()
    turned[0, 3 + axis] = np.deg2rad(degrees)
    at, source = network.mesh_model.controls(turned), network.mesh_model.controls(still).points
    grid = coordinate_grid(64, 64, align_corners=False)

    def folded(warp: torch.Tensor) -> int:
        along, down = warp[0, :-1, 1:] - warp[0, :-1, :-1], warp[0, 1:, :-1] - warp[0, :-1, :-1]
        return int((along[..., 0] * down[..., 1] < along[..., 1] * down[..., 0]).sum())

    assert folded(warp_grid(at.points, source, grid, stiffness=at.stiffness)) == 0
    if axis == 1:
        assert folded(warp_grid(at.points, source, grid)) > 0  # all points held: this is what tears


@pytest.mark.parametrize("gap", [0.2, 0.05, 0.0, -0.05])
def test_a_spline_never_has_to_shut_an_eye_quite(gap: float):
    """Lids that meet, or cross, are held two pixels apart; open ones are where they are."""
    upper, lower = (CONTROL_POINTS.index(index) for index in (159, 145))
    network = AvfrGenerator(AvfrConfig.tiny()).network
    mean = network.mesh_model.mean
    mean.copy_(torch.from_numpy(tiny_mesh()))
    for up, low in RIGHT_LID_PAIRS + LEFT_LID_PAIRS:
        mean[low] = mean[up] + torch.tensor([0.0, gap, 0.0])
    points = network.mesh_model.controls(torch.zeros(1, 6 + network.config.mesh_coefficients)).points[0]
    assert float(points[lower, 1] - points[upper, 1]) == pytest.approx(max(gap, 0.05), abs=1e-5)
    assert float((points[lower, 1] + points[upper, 1]) / 2) == pytest.approx(float(mean[159, 1]) + gap / 2, abs=1e-5)


def test_mesh_warp_of_a_still_face_changes_nothing():
    picture = draw(256, seed=1)
    seen = Observation(picture, mesh=tiny_mesh())
    assert psnr(mesh_warp(seen, seen), picture) > 38


def test_relative_motion_of_the_start_frame_is_the_source():
    rng = np.random.default_rng(0)
    kind = KeypointKind(5, True)

    def motion() -> Motion:
        frames = np.eye(2) + 0.1 * rng.standard_normal((5, 2, 2))
        return Motion.of(kind.layout, keypoints=rng.uniform(-0.5, 0.5, (5, 2)), jacobians=frames)

    source, start, driving = motion(), motion(), motion()
    same = kind.carrier(source, start)(start)
    assert np.allclose(same.vector, source.vector, atol=1e-5)
    assert kind.carrier(source, start, Mode.ABSOLUTE)(driving) is driving
    without_start = kind.carrier(source)
    assert np.allclose(without_start(start).vector, source.vector, atol=1e-5), "the first that comes is the start"
    assert np.allclose(without_start(driving).vector, kind.carrier(source, start)(driving).vector)


def test_a_larger_face_moves_farther():
    kind = KeypointKind(4, False)
    points = np.array([[0.0, 0.0], [0.4, 0.0], [0.4, 0.4], [0.0, 0.4]])

    def motion(places: np.ndarray) -> Motion:
        return Motion.of(kind.layout, keypoints=places)

    source, start = motion(1.5 * points), motion(points)
    assert face_scale(source, start) == pytest.approx(1.5, abs=1e-5)
    moved = kind.carrier(source, start)(motion(points + [0.1, 0.0]))
    assert np.allclose(moved["keypoints"], 1.5 * points + [0.15, 0.0], atol=1e-6)


def test_smoothing_takes_jitter_and_leaves_steps():
    rng = np.random.default_rng(0)
    still = OneEuro()
    noise = [rng.normal(0, 0.002, 4).astype(np.float32) for _ in range(100)]
    out = [still(value, Fraction(i, 25)) for i, value in enumerate(noise)]
    assert np.std(out[20:]) < 0.75 * np.std(noise[20:])
    step = OneEuro()
    path = [step(np.full(4, float(i >= 10), np.float32) * 0.2, Fraction(i, 25))[0] for i in range(14)]
    assert path[11] > 0.18


def test_metrics_agree_with_scikit_image():
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity

    a = draw(128, seed=0)
    b = np.clip(a.astype(int) + np.random.default_rng(0).normal(0, 12, a.shape), 0, 255).astype(np.uint8)
    assert psnr(a, b) == pytest.approx(peak_signal_noise_ratio(a, b), abs=1e-6)
    luma = [x.astype(np.float64) @ np.array([0.299, 0.587, 0.114]) for x in (a, b)]
    theirs = structural_similarity(*luma, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255)
    assert ssim(a, b) == pytest.approx(theirs, abs=1e-4)
    assert l1(a, a) == 0


def test_landmark_distance_is_in_pixels_of_256():
    mesh = np.zeros((478, 3), np.float32)
    moved = mesh + np.array([3, 4, 100], np.float32)
    assert landmark_distance(mesh, moved, 128) == pytest.approx((10.0, 10.0))


def test_a_crop_follows_a_face_that_leaves_it():
    mesh = np.zeros((478, 3), np.float32)
    mesh[:, :2] = np.random.default_rng(0).uniform(90, 140, (478, 2))
    followed = Crop(0, 0, 100).following(Face(mesh))
    assert followed.left + followed.side >= 139
    assert Crop(50, 50, 100).following(Face(mesh)) == Crop(50, 50, 100)
    assert isinstance(LinearFaceModel(mesh, mesh[None]).size, int)
