"""The packaged lip sync network: what it tells of drawn and of real speech, and that evaluation uses it."""

from __future__ import annotations

from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from made import drawn_speech
from visavis.audio.mel import RATE_HZ
from visavis.core.errors import DataError
from visavis.drawn.synthetic import TalkingFace, write_clip
from visavis.evaluation.clip import read_clip, read_sound
from visavis.evaluation.measure import ClipMeasure
from visavis.evaluation.metrics.lipsync import DEFAULT, SHORTEST, SyncScorer
from visavis.evaluation.networks import MetricNetworks
from visavis.evaluation.protocol import Protocol
from visavis.face.tracker import FaceTracker
from visavis.media.reader import VideoReader

Floats = NDArray[np.float32]


def early(sound: Floats, frames: int, shift: int) -> Floats:
    """The sound of ``frames`` frames when it comes ``shift`` frames too early; silence before its beginning."""
    start, length = shift * RATE_HZ // 25, frames * RATE_HZ // 25
    return np.pad(sound, (max(-start, 0), 0))[max(start, 0) :][:length]


@pytest.fixture(scope="module")
def drawn_speakers() -> list[tuple[NDArray[np.uint8], Floats, Floats]]:
    """Two drawn speakers, 60 frames each: pictures, meshes that MediaPipe found, and more sound than pictures."""
    speakers = []
    with FaceTracker(video=False) as tracker:
        for seed in (0, 3):
            face = TalkingFace(seed, 256)
            pictures = np.stack([frame.pixels for frame in face.frames(60)])
            found = [tracker.find(picture) for picture in pictures]
            mouths = np.stack([one.mesh[:, :2] for one in found if one is not None])
            speakers.append((pictures, mouths, face.sound(3.2).samples))
    return speakers


@pytest.mark.parametrize("shift", [-8, 0, 8])
def test_the_packaged_network_tells_by_how_much_the_sound_is_early(drawn_speakers: list[Any], shift: int):
    scorer = SyncScorer.load()
    for pictures, mouths, sound in drawn_speakers:
        score = scorer.score(pictures, mouths, early(sound, 60, shift))
        assert abs(score.offset - shift) <= 2


def test_the_packaged_network_is_surest_when_nothing_is_shifted(drawn_speakers: list[Any]):
    scorer = SyncScorer.load()
    for pictures, mouths, sound in drawn_speakers:
        sure = {s: scorer.score(pictures, mouths, early(sound, 60, s)).at_zero for s in (-12, -4, 0, 4, 12)}
        assert sure[0] > max(sure[-4], sure[4])
        assert sure[0] > 0.05 + max(sure[-12], sure[12])


def test_what_cannot_be_judged_says_why():
    scorer = SyncScorer.load()
    pictures, mouths, sound = drawn_speech(0, SHORTEST)
    with pytest.raises(DataError, match="too few"):
        scorer.score(pictures[:-1], mouths[:-1], sound)
    with pytest.raises(DataError, match="meshes"):
        scorer.score(pictures, mouths[:-1], sound)
    with pytest.raises(DataError, match="sound"):
        scorer.score(pictures, mouths, sound[: len(sound) // 2])


def test_evaluation_scores_lip_sync_with_the_packaged_network(tmp_path: Path):
    path = tmp_path / "clip.mp4"
    write_clip(path, 1.6, seed=3, size=256)
    clip = read_clip(path, every=100, window_s=1.24)
    assert clip.window is not None and clip.window.sound is not None
    pictures = {seen.observation.time: seen.observation.picture for seen in (*clip.driving, *clip.window.frames)}
    found = MetricNetworks.load()
    names = ("vsync_confidence", "vsync_distance", "vsync_at_zero")
    assert all(f"{DEFAULT}, sha256" in found.used[name] for name in names)
    with FaceTracker(video=False) as tracker:
        networks = MetricNetworks(vsync=found.vsync)
        measure = ClipMeasure(clip, clip.source, Protocol.SAME, networks, tracker)
        result, _ = measure.measure(pictures)
    score = SyncScorer.load().score(
        np.stack([seen.observation.picture for seen in clip.window.frames]),
        np.stack([seen.face.mesh[:, :2] for seen in clip.window.frames]),
        clip.window.sound,
    )
    expected = (score.confidence, score.distance, score.at_zero)
    assert [result.sums[name][1] for name in names] == [1, 1, 1]
    assert [result.sums[name][0] for name in names] == pytest.approx(expected, abs=0.02)


def test_real_speech_is_judged_surest_where_it_was_recorded(shared: Path):
    """Four people that the network has never seen; the mean, since a single clip of two seconds says little."""
    scorer = SyncScorer.load()
    sure = []
    for name in ("p170_01", "p199_01", "p337_01", "p328_01"):
        path = shared / "data" / "clips" / f"{name}.mp4"
        with VideoReader(path) as reader, FaceTracker(video=False) as tracker:
            pictures = [frame.pixels for frame in islice(reader, 15, 65)]
            found = [tracker.find(picture) for picture in pictures]
        mouths = np.stack([one.mesh[:, :2] for one in found if one is not None])
        sounds = [read_sound(path, Fraction(15 + shift, 25), Fraction(65 + shift, 25)) for shift in (-10, 0, 10)]
        sure.append([scorer.score(np.stack(pictures), mouths, sound).at_zero for sound in sounds if sound is not None])
    before, at, after = np.mean(sure, 0)
    assert at > max(before, after) + 0.02
