"""Calls as streams: what goes in comes out, small, in time and without growing."""

from __future__ import annotations

import itertools
import json
import tracemalloc
from dataclasses import replace
from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from calls import FPS, TINY, avfr, decode, encode, keypoint
from layouts import points
from visavis.codec.bitstream import (
    MOST_PACKET_BYTES,
    End,
    Header,
    Mode,
    MotionGroup,
    PivotFragment,
    PointsGroup,
    parse,
)
from visavis.codec.census import Census
from visavis.codec.motion_coder import MotionDecoder
from visavis.codec.sender import MotionSender
from visavis.codec.transform import plain_table
from visavis.core.errors import CodecError, ConfigError, FaceError
from visavis.drawn.synthetic import Pose, TalkingFace, draw
from visavis.generators.base import Generator
from visavis.media.frame import Frame
from visavis.motion.keypoint_kind import KeypointKind
from visavis.motion.layout import Layout
from visavis.pipelines.call.decoder import CallDecoder
from visavis.pipelines.call.encoder import CallEncoder
from visavis.pipelines.call.settings import CallSettings
from visavis.pipelines.call.weights import WeightsId
from visavis.weights import store
from visavis.weights.checkpoint import save, sha256

FRAMES = 37


@pytest.fixture(scope="module")
def generator() -> Generator:
    return keypoint()


@cache
def caller(count: int = FRAMES, fps: Fraction = FPS) -> list[Frame]:
    return list(TalkingFace(1, 128, fps).frames(count))


@pytest.mark.parametrize("mode", ["adaptive", "paper80"])
@pytest.mark.parametrize("interpolate", [0, 1, 4])
def test_every_frame_comes_back_at_its_time(generator: Generator, mode: str, interpolate: int):
    packets = encode(generator, caller(), CallSettings(mode=mode, interpolate=interpolate))
    frames, decoder = decode(generator, packets)
    assert [frame.time for frame in frames] == [n / FPS for n in range(FRAMES)]
    assert all(frame.pixels.shape == (64, 64, 3) for frame in frames)
    assert decoder.tally.concealed == decoder.lost_groups == decoder.tally.damaged == 0
    assert decoder.take_requests() == []


def test_a_receiver_may_leave_frames_out(generator: Generator):
    """Those it gives are the same; where frames between need their neighbours it gives all."""
    for interpolate, left in ((0, range(0, FRAMES, 3)), (1, range(FRAMES))):
        packets = encode(generator, caller(), CallSettings(interpolate=interpolate))
        whole, _ = decode(generator, packets)
        with CallDecoder(generator, TINY, every=3) as decoder:
            some = list(decoder.play(packets))
        assert [frame.time for frame in some] == [n / FPS for n in left]
        assert all(np.array_equal(frame.pixels, whole[n].pixels) for n, frame in zip(left, some, strict=True))


@pytest.mark.parametrize("fps", [Fraction(30000, 1001), Fraction(10)])
def test_other_rates_keep_exact_times(generator: Generator, fps: Fraction):
    frames, _ = decode(generator, encode(generator, caller(20, fps), CallSettings(), fps=fps))
    assert [frame.time for frame in frames] == [n / fps for n in range(20)]


def test_packets_are_small_enough_for_any_channel(generator: Generator):
    packets = encode(generator, caller(), CallSettings(kbps=50), sound=True)
    assert max(map(len, packets)) <= MOST_PACKET_BYTES
    assert isinstance(parse(packets[0]), Header)


def test_the_thesis_mode_spends_eight_bytes_a_point_and_frame(generator: Generator):
    """80 bytes for ten keypoints; these weights have three."""
    packets = [parse(packet) for packet in encode(generator, caller(40), CallSettings(mode="paper80"))]
    sizes = [len(packet.payload) for packet in packets if isinstance(packet, PointsGroup)]
    assert sum(sizes) == 40 * 8 * 3
    assert not any(isinstance(packet, MotionGroup) for packet in packets)


def test_adaptive_motion_is_much_smaller(generator: Generator):
    def motion(mode: str) -> int:
        census = Census()
        for packet in encode(generator, caller(80), CallSettings(mode=mode)):
            census.count(packet)
        return census.bytes["motion"]

    assert motion("adaptive") < motion("paper80") / 3


def test_no_frame_waits_longer_than_its_group(generator: Generator):
    """But at the beginning, where the first pivot is looked for: then the first 16 frames wait for one another."""
    for look_s, first in ((Fraction(0), 4), (Fraction(16, 25), 16)):
        settings = CallSettings(group=4)
        with (
            CallEncoder(generator, TINY, fps=FPS, settings=settings, look_s=look_s) as encoder,
            CallDecoder(generator, TINY) as decoder,
        ):
            assert encoder.latency_ms == 3 * 40
            assert encoder.first_latency_ms == (first - 1) * 40
            made = 0
            for number, frame in enumerate(caller()):
                made += sum(len(decoder.push(packet)) for packet in encoder.push(frame))
                assert made == ((number + 1) // 4 * 4 if number + 1 >= first else 0)


def test_a_returning_pose_costs_an_index_and_no_picture(generator: Generator):
    """A head that leans left, right, left, right, sends two pictures, not four."""
    pictures = [draw(128, 1, Pose(roll=roll)) for roll in (-0.3, 0.3)]
    frames = [Frame(pictures[n // 64 % 2], n / FPS) for n in range(256)]
    settings = CallSettings(angles=(8, 8, 8), quality_drop_db=float("inf"))
    packets = [parse(packet) for packet in encode(generator, frames, settings)]
    used = [packet.pivot for packet in packets if isinstance(packet, MotionGroup)]
    assert [number for number, _ in itertools.groupby(used)] == [0, 1, 0, 1]
    assert sum(isinstance(packet, PivotFragment) and packet.index == 0 for packet in packets) == 2


def test_a_fall_in_quality_brings_a_new_pivot(generator: Generator):
    """The pose stays; the light changes."""
    frames = [
        Frame(frame.pixels if n < 100 else (frame.pixels // 3), frame.time)
        for n, frame in enumerate(TalkingFace(1, 128).frames(180))
    ]
    wide = (90.0, 90.0, 90.0)

    def pivots(drop: float) -> int:
        packets = encode(generator, frames, CallSettings(angles=wide, quality_drop_db=drop))
        return sum(isinstance(p := parse(packet), PivotFragment) and p.index == 0 for packet in packets)

    assert pivots(float("inf")) == 1
    assert pivots(2.0) >= 2


def test_a_face_that_goes_away_holds_its_motion(generator: Generator):
    frames = caller(48)
    gone = [Frame(np.full_like(f.pixels, 90) if 16 <= n < 32 else f.pixels, f.time) for n, f in enumerate(frames)]
    made, decoder = decode(generator, encode(generator, gone, CallSettings(quality_drop_db=float("inf"))))
    assert len(made) == 48
    assert decoder.tally.concealed == 0


def test_a_face_that_comes_late_begins_the_call_when_it_comes(generator: Generator):
    frames = [Frame(np.full_like(f.pixels, 90) if n < 16 else f.pixels, f.time) for n, f in enumerate(caller(40))]
    made, _ = decode(generator, encode(generator, frames, CallSettings()))
    assert [frame.time for frame in made] == [n / FPS for n in range(16, 40)]


def test_a_call_without_any_face_is_refused(generator: Generator):
    grey = [Frame(np.full((128, 128, 3), 90, np.uint8), n / FPS) for n in range(10)]
    with pytest.raises(FaceError, match="no face in any frame"):
        encode(generator, grey, CallSettings())


def test_other_weights_are_refused_in_words(generator: Generator):
    packets = encode(generator, caller(8), CallSettings())
    with (
        CallDecoder(generator, WeightsId("others", "cd" * 32)) as decoder,
        pytest.raises(CodecError, match=r"weights 'tiny' of sha256 abababababab.*'others'.*--model"),
    ):
        decoder.push(packets[0])


def test_weights_move_as_those_whose_detector_they_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / "base.safetensors"
    save(file, {f"{part}.x": torch.ones(1) for part in ("detector", "mesh_model", "decoder")}, family="avfr", config={})
    row = {"file": file.name, "sha256": sha256(file), "family": "avfr", "card": ""}
    (tmp_path / "manifest.json").write_text(json.dumps({"base": row}))
    monkeypatch.setattr(store, "PACKAGED", tmp_path)
    for parts, motion in ((["detector", "mesh_model"], row["sha256"]), (["detector"], None)):
        stands = tmp_path / "stands.safetensors"
        base = {"name": "base", "sha256": row["sha256"], "parts": parts}
        save(stands, {"decoder.x": torch.zeros(1)}, family="avfr", config={}, meta={"base": base})
        named = WeightsId.of(str(stands))
        assert named.sha256 == sha256(stands)
        assert named.motion == (motion or named.sha256)
    assert WeightsId.of(str(file)).motion == row["sha256"]


def with_layout(monkeypatch: pytest.MonkeyPatch, layout: Layout) -> None:
    """Have both ends take motion to be laid out so, which these weights can only be told."""
    monkeypatch.setattr(KeypointKind, "layout", property(lambda kind: layout))


def test_values_that_belong_to_the_person_are_not_sent_and_come_from_the_pivot(monkeypatch: pytest.MonkeyPatch):
    generator, frames = avfr(), caller(17)
    plain = generator.kind.layout
    first, *others = plain.parts
    sizes = []
    for layout in (plain, Layout("keypoints", (first, *(replace(part, held=True) for part in others)))):
        with_layout(monkeypatch, layout)
        packets = encode(generator, frames, CallSettings())
        parsed = [parse(packet) for packet in packets]
        sizes.append(sum(len(packet.payload) for packet in parsed if isinstance(packet, MotionGroup)))
        with CallDecoder(generator, TINY) as decoder:
            made = [frame for packet in packets for frame in decoder.push(packet)] + decoder.finish()
        assert len(made) == 17
    assert sizes[1] < 0.8 * sizes[0]


def test_other_motion_than_the_headers_is_refused(monkeypatch: pytest.MonkeyPatch, generator: Generator):
    packets = encode(generator, caller(9), CallSettings())
    first, *others = generator.kind.layout.parts
    with_layout(monkeypatch, Layout("keypoints", (replace(first, unit="ratio"), *others)))
    with CallDecoder(generator, TINY) as decoder, pytest.raises(CodecError, match="not that of the weights"):
        decoder.push(packets[0])


def test_the_thesis_mode_needs_keypoints_at_either_end(monkeypatch: pytest.MonkeyPatch, generator: Generator):
    first, *others = generator.kind.layout.parts
    without = Layout("landmarks", (replace(first, name="landmarks"), *others))
    good = Header.parse(encode(generator, caller(9), CallSettings())[0])
    with_layout(monkeypatch, without)
    with pytest.raises(ConfigError, match="the motion of tiny has no keypoints"):
        CallEncoder(generator, TINY, fps=FPS, settings=CallSettings(mode="paper80"))
    header = replace(good, mode=Mode.PAPER80, layout=without.identity, table=plain_table(without).identity)
    with CallDecoder(generator, TINY) as decoder, pytest.raises(CodecError, match="damaged header: it promises"):
        decoder.push(header.to_bytes())


def test_more_keypoints_than_a_packet_holds_are_refused_at_once():
    CallSettings(mode="paper80").check_motion(points(17), 8, "tiny")
    with pytest.raises(ConfigError, match="8 frames of 18 keypoints do not fit"):
        CallSettings(mode="paper80").check_motion(points(18), 8, "tiny")


def test_motion_that_leaps_in_many_values_still_fits_its_packets(generator: Generator):
    layout = points(100)
    table = plain_table(layout)
    header = Header(Mode.ADAPTIVE, FPS, 64, 200, layout.identity, 8, 0, False, bytes(32), table.identity, "")
    sender, receiver = MotionSender(header, table, None), MotionDecoder(table)
    leaps = np.random.default_rng(0).uniform(-0.08, 0.08, (8, 200)).astype(np.float32)
    packet, made = sender.code(leaps, 0, np.zeros(200, np.int64))
    group = parse(packet)
    assert isinstance(group, MotionGroup) and len(packet) <= MOST_PACKET_BYTES
    got = receiver.decode(group.payload, 8, group.step, group.bias, np.zeros(200, np.int64))
    assert (made * 256 == got).all() and np.abs(made - 128 * leaps).mean() < 4


def test_a_rate_is_kept(generator: Generator):
    """Pivots included, of which one may come just before the end."""
    frames = list(TalkingFace(2, 96).frames(320))
    for kbps in (2.0, 6.0):
        census = Census()
        for packet in encode(generator, frames, CallSettings(kbps=kbps)):
            census.count(packet)
        spent = census.rates()["video_kbps"]
        assert spent is not None and 0.3 * kbps < spent < 1.3 * kbps


def test_a_receiver_hears_the_sound_of_each_frame():
    """The generator gets the same windows that the sent sound gives, within what Opus changes; in time to a sample."""
    from visavis.audio.window import SoundWindow

    generator = avfr()
    heard: list[np.ndarray] = []
    prepare = generator.prepare

    class Listening:
        def __init__(self, person):
            self.person = person

        def render(self, motions, sound):
            heard.append(sound)
            return self.person.render(motions, sound)

    packets = encode(generator, caller(50), CallSettings(sound_kbps=24, quality_drop_db=float("inf")), sound=True)
    generator.prepare = lambda references: Listening(prepare(references))  # type: ignore[method-assign]
    frames, _ = decode(generator, packets)
    assert len(frames) == len(heard) == 50
    window = SoundWindow([TalkingFace(1).sound(30.0)], generator.hears)
    errors = [np.abs(mel - window.at(frame.time)).mean() for mel, frame in zip(heard, frames, strict=True)]
    assert np.median(errors) < 0.06


def test_sound_comes_back_in_time(generator: Generator):
    packets = encode(generator, caller(50), CallSettings(sound_kbps=24), sound=True)
    _, decoder = decode(generator, packets)
    made = decoder.take_sound()
    real = TalkingFace(1).sound(2.0, 48_000).samples
    assert abs(len(made) - len(real)) <= 6000
    lags = range(-480, 481, 8)
    match = [float(np.dot(real[1000 : len(real) - 1000], np.roll(made, -lag)[1000 : len(real) - 1000])) for lag in lags]
    assert abs(lags[int(np.argmax(match))]) <= 48  # a millisecond


def test_memory_does_not_grow_with_the_call(generator: Generator):
    """The second and the fourth part of a long call hold the same."""
    face = TalkingFace(1, 128)
    pictures = [frame.pixels for frame in face.frames(25)]
    voice = face.sound(1.0, 48_000).samples[:1920]
    settings = CallSettings(quality_drop_db=float("inf"))
    held = []
    with (
        CallEncoder(generator, TINY, fps=FPS, settings=settings, has_sound=True) as encoder,
        CallDecoder(generator, TINY) as decoder,
    ):
        tracemalloc.start()
        for number in range(600):
            for packet in encoder.push(Frame(pictures[number % 25], number / FPS), voice):
                decoder.push(packet)
                decoder.take_sound()
            if number % 150 == 149:
                held.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
    assert held[3] < held[1] + 200_000


@pytest.mark.parametrize(
    "wrong",
    [
        {"mode": "mp3"},
        {"interpolate": 5},
        {"group": 3},
        {"kbps": 0.1},
        {"angles": (0, 1, 1)},
        {"angles": (9, 9)},
        {"quality_drop_db": -1.0},
        {"sound_kbps": 64},
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, object]):
    with pytest.raises(ConfigError):
        CallSettings(**wrong)  # type: ignore[arg-type]


def test_the_end_is_told_before_the_last_motion(generator: Generator):
    """So that the last group, which is filled up, is cut where the call ends."""
    packets = [parse(packet) for packet in encode(generator, caller(11), CallSettings())]
    assert isinstance(packets[-2], End) and packets[-2].frames == 11
    assert isinstance(packets[-1], MotionGroup)
