"""Speech becomes motion: streams, seeds, rhythms, silence, noise, loudness; with a tiny network and the packaged."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from visavis.drawn.synthetic import TalkingFace
from visavis.face.measures import LEFT_LIDS, LIPS, RIGHT_LIDS
from visavis.face.model3d import load_face_model
from visavis.motion.openings import USUAL_OPEN
from visavis.motion.speech.config import SpeakerConfig
from visavis.motion.speech.head import HEAD_SCALE
from visavis.motion.speech.mouth import Opening, width_of
from visavis.motion.speech.network import SpeakerNetwork
from visavis.motion.speech.rest import FaceSpace, resting_expression
from visavis.motion.speech.speaker import Rhythm, Speaker
from visavis.motion.speech.spoken import REST_CAMERA, Spoken
from visavis.motion.speech.sway import Sway
from visavis.training.data.speech_motion import no_speech, spectra

Floats = NDArray[np.float32]
MODEL = load_face_model()
NOBODY = np.zeros(len(MODEL.identity), np.float32)


@pytest.fixture(scope="module")
def tiny() -> Speaker:
    torch.manual_seed(0)
    return Speaker.of(SpeakerNetwork(SpeakerConfig.tiny()))


@pytest.fixture(scope="module")
def packaged() -> Speaker:
    return Speaker.load()


def said(
    speaker: Speaker, heard: Floats, seed: int = 0, rhythm: Rhythm | None = None, *, head: bool = True
) -> list[Spoken]:
    speaking = speaker.speaking(NOBODY, rhythm=rhythm, seed=seed, head=head)
    return [speaking.next(rows) for rows in heard]


def openings(frames: list[Spoken]) -> NDArray[np.float64]:
    """Mean gap of the inner lips, of the unposed face whose eyes lie 1.8 apart."""
    rows = FaceSpace.of(MODEL, NOBODY).measures.rows[LIPS]
    return np.array([(rows @ frame.expression).mean() for frame in frames])


def cameras(frames: list[Spoken]) -> Floats:
    return np.stack([frame.camera for frame in frames])


def voice(seconds: float, seed: int = 1) -> Floats:
    return TalkingFace(seed).sound(seconds).samples


# --- any network


def test_a_stream_gives_what_the_networks_give_of_the_whole(tiny: Speaker):
    """Psi frame by frame, with what it remembers, against Psi of the clip at once."""
    heard = np.random.default_rng(0).normal(size=(30, *tiny.hears.shape)).astype(np.float32)
    whole = tiny.network.change(torch.from_numpy(heard)[None], torch.zeros(1, 40))[0].numpy()
    speaking = tiny.speaking(NOBODY)
    mouth = speaking._mouth
    for frame, wanted in zip(heard, whole, strict=True):
        got = speaking.next(frame).expression
        rows = mouth.rows
        pose, width = mouth(wanted, 1.0, np.zeros(2))[0], LEFT_LIDS.stop
        np.testing.assert_allclose(rows[:9] @ got, rows[:9] @ pose, atol=0.01)
        np.testing.assert_allclose(rows[width] @ got, rows[width] @ pose, atol=0.01)


def test_the_seed_decides_and_nothing_else(tiny: Speaker):
    heard = np.random.default_rng(0).normal(size=(40, *tiny.hears.shape)).astype(np.float32)
    one, same, other = said(tiny, heard), said(tiny, heard), said(tiny, heard, 1)
    for a, b in zip(one, same, strict=True):
        for part in ("expression", "camera", "gaze"):
            np.testing.assert_array_equal(getattr(a, part), getattr(b, part))
    assert not np.array_equal(cameras(one), cameras(other))


def test_a_head_begins_at_rest_and_stays_there_when_it_is_told_to(tiny: Speaker):
    heard = np.zeros((60, *tiny.hears.shape), np.float32)
    np.testing.assert_array_equal(cameras(said(tiny, heard, head=False)), np.repeat(REST_CAMERA[None], 60, 0))
    moved = cameras(said(tiny, heard))
    assert np.abs(moved[0] - REST_CAMERA).max() < 0.02 < np.abs(moved - REST_CAMERA).max()


def test_silence_needs_no_sound(tiny: Speaker):
    quiet = tiny.hears.silence()
    one, two = tiny.speaking(NOBODY), tiny.speaking(NOBODY)
    for _ in range(5):
        np.testing.assert_array_equal(one.next(None).expression, two.next(quiet).expression)


def test_the_state_does_not_grow(tiny: Speaker):
    speaking = tiny.speaking(NOBODY)

    def held() -> int:
        lines = (speaking._saying._noticed, speaking._sounds)
        return sum(sum(item.size for item in line) for line in lines) + speaking._sway._state.size

    speaking.next(None)
    before = held()
    for _ in range(200):
        speaking.next(None)
    assert held() == before


def test_what_cannot_be_heard_is_refused(tiny: Speaker):
    speaking = tiny.speaking(NOBODY)
    with pytest.raises(ValueError, match="1120"):
        speaking.next(np.zeros(7, np.float32))
    with pytest.raises(ValueError, match="finite"):
        speaking.next(np.full(tiny.hears.shape, np.nan, np.float32))
    with pytest.raises(ValueError, match="2 frames"):
        tiny.rhythm_of(np.zeros((1, 6), np.float32), np.zeros((1, *tiny.hears.shape), np.float32))


def test_short_references_are_seen_there_and_back(tiny: Speaker):
    rng = np.random.default_rng(0)
    camera = rng.normal(0, 0.05, (33, 6)).astype(np.float32)
    heard = rng.normal(size=(33, *tiny.hears.shape)).astype(np.float32)
    back = np.r_[0:33, 31:0:-1]  # 64 frames
    np.testing.assert_allclose(
        tiny.rhythm_of(camera, heard).code, tiny.rhythm_of(camera[back], heard[back]).code, atol=0.2
    )


def test_a_rest_has_closed_lips_and_open_eyes():
    space = FaceSpace.of(MODEL, NOBODY)
    measures = space.measures(resting_expression(MODEL, NOBODY).astype(np.float64))
    assert np.abs(measures[LIPS]).max() < 0.01
    for eye in (RIGHT_LIDS, LEFT_LIDS):
        assert measures[eye].mean() == pytest.approx(USUAL_OPEN, abs=0.01)


def test_a_steady_mouth_is_stretched_and_a_quick_one_closes_further(tiny: Speaker):
    steady = Opening(tiny.people)
    assert [steady(0.1) for _ in range(5)] == pytest.approx([steady.stretched(0.1)] * 5)
    dip = [0.1] * 20 + [0.05, 0.02, 0.05] + [0.1] * 20
    quick = Opening(tiny.people)
    made = [quick(value) for value in dip]
    assert made[21] < 0.6 * quick.stretched(0.02) and made[0] == pytest.approx(made[-1], rel=0.03)


def test_a_reference_says_how_wide_a_mouth_opens(tiny: Speaker):
    predicted = 0.1 + 0.08 * np.sin(np.arange(75))
    opening = Opening(tiny.people)
    same = np.array([opening(value) for value in predicted])
    width = [width_of(tiny.people, predicted, factor * same) for factor in (1, 1.5, 0.6, 10)]
    assert width[0] == pytest.approx(1) and 1.1 < width[1] < 1.5 and 0.6 < width[2] < 0.9
    assert width[3] == pytest.approx(np.sqrt(2)), "no further than that"
    assert 1 < width_of(tiny.people, predicted[:10], 1.5 * same[:10]) < width[1], "a short one says less"
    assert width_of(tiny.people, np.zeros(75), 1.5 * same) == 1, "and silence nothing"


def test_whoever_opens_wider_opens_wider(packaged: Speaker):
    heard = packaged.hears.of_clip(voice(3.0), 75)
    still = np.repeat(REST_CAMERA[None], 75, 0)
    plain = packaged.rhythm_of(still, heard)
    usual = np.array(openings(said(packaged, heard, rhythm=plain, head=False)))
    wide = packaged.rhythm_of(still, heard, (1.6 * usual).astype(np.float32))
    assert plain.width == 1 < wide.width
    np.testing.assert_allclose(
        openings(said(packaged, heard, rhythm=wide, head=False)), wide.width * usual, atol=0.01, rtol=0.05
    )


# --- the packaged one


def test_the_mouth_speaks_and_in_silence_it_is_shut(packaged: Speaker):
    talk = packaged.hears.of_clip(voice(4.0), 100)
    speaking = openings(said(packaged, talk, head=False))
    quiet = openings(said(packaged, np.repeat(packaged.hears.silence()[None], 100, 0), head=False))
    assert np.percentile(speaking, 90) > 0.1
    assert quiet.max() < 0.03 and quiet.min() > -0.02


@pytest.mark.parametrize("kind", [1, 2, 3])
def test_noise_and_music_do_not_make_the_mouth_run_wild(packaged: Speaker, kind: int):
    talk = openings(said(packaged, packaged.hears.of_clip(voice(4.0), 100), head=False))
    for seed in (11, 12):
        sound = no_speech(kind, 640 * 100, np.random.default_rng(seed))
        noisy = openings(said(packaged, packaged.hears.of_clip(sound, 100), head=False))
        assert np.abs(np.diff(noisy)).mean() < 0.6 * np.abs(np.diff(talk)).mean()
        assert noisy.max() < 0.3


def test_loudness_changes_little(packaged: Speaker):
    sound = voice(4.0)
    usual = openings(said(packaged, packaged.hears.of_clip(sound, 100), head=False))
    for gain in (-20, 6):
        loud = np.clip(sound * np.float32(10 ** (gain / 20)), -1, 1)
        other = openings(said(packaged, packaged.hears.of_clip(loud, 100), head=False))
        assert np.corrcoef(usual, other)[0, 1] > 0.85


def test_eyes_blink_and_look_about(packaged: Speaker):
    frames = said(packaged, np.repeat(packaged.hears.silence()[None], 750, 0), head=False)
    rows = FaceSpace.of(MODEL, NOBODY).measures.rows[RIGHT_LIDS].mean(0)
    lids = np.array([rows @ frame.expression for frame in frames])
    shut = lids < -0.6 * USUAL_OPEN
    blinks = (np.diff(shut.astype(int)) == 1).sum()
    assert 3 <= blinks <= 25 and shut.mean() < 0.2
    assert np.stack([frame.gaze for frame in frames]).std(0).min() > 0.005


def test_ten_minutes_do_not_drift(packaged: Speaker):
    """Phi whole, as fast as a batch is: neither place nor spread of the head changes from minute to minute."""
    sound = spectra(packaged.hears.of_clip(np.tile(voice(10.0), 2), 500))
    heard = torch.from_numpy(np.tile(sound, (30, 1)))[None]
    noise = torch.from_numpy(Sway(np.random.default_rng(0)).take(15_000)).float()
    phi = packaged.network.phi
    for rhythm in phi.rhythms:
        head = phi(rhythm[None], heard, noise)[0].numpy()
        minutes = head.reshape(10, 1500, 6)
        spread = head.std(0)
        assert (np.abs(head) * HEAD_SCALE).max() < 1.0
        assert (np.abs(minutes.mean(1)[-1] - minutes.mean(1)[0]) < 2.5 * spread).all()
        assert (minutes[-3:].std((0, 1)) < 1.6 * minutes[:3].std((0, 1))).all()


def test_whoever_moves_more_moves_more(packaged: Speaker):
    rng = np.random.default_rng(0)
    heard = packaged.hears.of_clip(voice(6.0), 150)
    sway = Sway(rng).take(150)[0, :, 12:18] * HEAD_SCALE
    sizes = []
    for strength in (0.3, 1.2):
        rhythm = packaged.rhythm_of((REST_CAMERA + strength * sway).astype(np.float32), heard)
        sizes.append(cameras(said(packaged, heard, rhythm=rhythm))[25:].std(0)[3:].mean())
    assert sizes[1] > 1.6 * sizes[0]


def test_a_head_turns_no_further_than_a_picture_can_show(packaged: Speaker):
    heard = packaged.hears.of_clip(voice(4.0), 100)
    wild = Rhythm(np.full(packaged.network.config.code, 30.0, np.float32))
    moved = cameras(said(packaged, heard, rhythm=wild)) - REST_CAMERA
    assert np.abs(moved[:, 3:]).max() < 0.45 and np.abs(moved[:, :2]).max() < 0.2
