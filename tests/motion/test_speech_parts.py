"""Parts of a speaker: heads apart from faces, what is heard, smooth noise, idle motion."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from visavis.audio.window import SoundWindow
from visavis.face.model3d import load_face_model
from visavis.media.frame import Sound
from visavis.motion.speech.disentangle import STILL_POINTS, Disentangled, disentangle, entangle, steadiest
from visavis.motion.speech.heard import SpeakerSound
from visavis.motion.speech.idle import BLINK_STEPS, SIZES, Idle
from visavis.motion.speech.sway import BAND_OF, BANDS_HZ, CHANNELS, Sway, autocovariance
from visavis.training.data.idle import IdleClip, blinks_of, idle_tables

# --- heads apart from faces


def test_a_head_s_motion_is_found_to_a_ten_thousandth_and_leaves_the_face_alone():
    """Rotations by SciPy; lips and jaw move, the still points do not."""
    model, rng = load_face_model(), np.random.default_rng(0)
    turns = Rotation.from_euler("yxz", rng.uniform(-0.6, 0.6, (40, 3)))
    head = np.concatenate([rng.uniform(-0.2, 0.2, (40, 2)), rng.uniform(-1.4, -0.8, (40, 1)), turns.as_rotvec()], 1)
    faces = np.repeat(model.mean[None].astype(np.float64), 40, 0)
    moving = np.setdiff1d(np.arange(468), STILL_POINTS)
    faces[:, moving] += rng.normal(0, 0.05, (40, len(moving), 3))
    posed = np.stack([turn.apply(face) for turn, face in zip(turns, faces, strict=True)])
    posed = posed * np.exp(head[:, 2])[:, None, None] + np.concatenate([head[:, :2], np.full((40, 1), 0.7)], 1)[:, None]
    found = disentangle(posed, model.mean)
    np.testing.assert_allclose(found.head, head, atol=1e-4)
    np.testing.assert_allclose(found.faces, faces, atol=1e-4)
    np.testing.assert_allclose(entangle(Disentangled(found.head, found.faces), depth=0.7), posed, atol=1e-4)


def test_meshes_of_other_shapes_are_refused():
    with pytest.raises(ValueError, match="468"):
        disentangle(np.zeros((3, 68, 3)), load_face_model().mean)


def test_the_points_that_deform_least_are_chosen():
    model, rng = load_face_model(), np.random.default_rng(0)
    size = np.full(468, 0.1)
    size[list(STILL_POINTS)] = 0.001
    clips = [model.mean + rng.normal(0, 1, (60, 468, 3)) * size[:, None] for _ in range(3)]
    assert steadiest(clips, model.mean, len(STILL_POINTS)) == STILL_POINTS
    spread = model.mean[list(STILL_POINTS)]
    gaps = np.linalg.norm(spread[:, None] - spread, axis=2) + np.eye(len(spread))
    assert len(STILL_POINTS) == 27 and gaps.min() > 0.19


# --- what is heard


@pytest.mark.parametrize("kind", ["mel", "raw", "both"])
def test_a_stream_and_a_whole_clip_are_heard_alike(kind: str):
    rng = np.random.default_rng(0)
    samples = rng.normal(0, 0.1, 640 * 20).astype(np.float32)
    hears = SpeakerSound(kind)  # type: ignore[arg-type]
    whole = hears.of_clip(samples, 20)
    window = SoundWindow([Sound(samples, 16_000, Fraction(0))], hears)
    parts = np.stack([window.at(Fraction(frame, 25)) for frame in range(20)])
    assert parts.shape == whole.shape == (20, *hears.shape)
    np.testing.assert_allclose(parts, whole, atol=1e-4)


def test_a_frame_hears_seven_frames_around_its_time():
    """A click moves the spectrogram of the frames within 0.14 s of it, and no other."""
    samples = np.zeros(640 * 30, np.float32)
    samples[640 * 15] = 1
    hears = SpeakerSound("mel")
    heard = hears.of_clip(samples, 30)
    touched = np.flatnonzero(np.abs(heard - hears.silence()).max(1) > 1e-6)
    assert touched.tolist() == list(range(12, 19))
    assert hears.before_s == hears.after_s == Fraction(2360, 16_000)


# --- smooth noise


def test_noise_is_stationary_from_its_first_frame_with_the_covariance_that_it_says():
    noise = Sway(np.random.default_rng(0), 400).take(60)
    assert noise.shape == (400, 60, CHANNELS)
    for frame in (0, 59):
        assert abs(noise[:, frame].std() - 1) < 0.03
    told = autocovariance(30)
    for band in range(len(BANDS_HZ)):
        line = noise[:, :, band == BAND_OF]
        for lag in (0, 3, 29):
            assert abs((line[:, : 60 - lag] * line[:, lag:]).mean() - told[band, lag]) < 0.06


# --- idle motion


def tables(**changes: object) -> dict[str, np.ndarray]:
    made = {name: np.zeros(shape) for name, shape in SIZES.items()}
    made["blink_hz"] = np.array([0.5, 0.25])
    made["blink_frames"] = np.full(9, 8.0)
    made["blink_depth"] = np.ones(9)
    made["blink_shape"] = np.sin(np.linspace(0, np.pi, BLINK_STEPS))
    made["gaze_spread"] = np.array([0.1, 0.05])
    made["gaze_frames"] = np.linspace(10, 50, 9)
    made["brow_bands"] = np.array([0, 0, 0.02, 0.01, 0, 0])
    made["brow_together"] = np.array([0.8])
    made["breath"] = np.array([0.25, 0.01, 0.002])
    return {**made, **changes}  # type: ignore[dict-item]


def idled(frames: int, speech: float, seed: int = 0) -> IdleClip:
    idle = Idle(tables(), seed)
    rows = [idle.next(speech, np.zeros(3)) for _ in range(frames)]
    lids, gaze, brows, camera = (
        np.array([getattr(row, name) for row in rows]) for name in ("lids", "gaze", "brows", "camera")
    )
    return IdleClip(lids, gaze, brows, camera, np.full(frames, speech > 0.5))


def test_people_blink_as_often_as_their_tables_say_and_more_in_pauses():
    for speech, hertz in ((0.0, 0.5), (1.0, 0.25)):
        clip = idled(15_000, speech)
        blinks = blinks_of(clip.lids)
        assert len(blinks) / 600 == pytest.approx(hertz, rel=0.2)
        assert clip.lids.min() < 0.1 and np.median(clip.lids) == 1


def test_tables_are_found_again_in_those_who_move_by_them():
    found = idle_tables([idled(6000, 0.0), idled(6000, 1.0, 1)])
    wanted = tables()
    np.testing.assert_allclose(found["blink_hz"], wanted["blink_hz"], rtol=0.3)
    assert found["blink_frames"][4] == pytest.approx(8, abs=1.5)
    np.testing.assert_allclose(found["gaze_spread"], wanted["gaze_spread"], rtol=0.3)
    assert np.sqrt(np.square(found["brow_bands"]).sum()) == pytest.approx(np.hypot(0.02, 0.01), rel=0.3)
    assert found["brow_together"][0] == pytest.approx(0.8, abs=0.15)
    np.testing.assert_allclose(found["breath"][1:], wanted["breath"][1:], rtol=0.4)


def test_idle_motion_is_the_seed_s():
    one, same, other = idled(300, 0.0), idled(300, 0.0), idled(300, 0.0, 5)
    np.testing.assert_array_equal(one.gaze, same.gaze)
    assert not np.array_equal(one.gaze, other.gaze)
