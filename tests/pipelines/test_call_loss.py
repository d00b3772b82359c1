"""Packets lost, swapped, doubled and damaged: a call goes on, counts, and heals within a second."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from calls import FPS, TINY, decode, encode, keypoint, lossy
from visavis.codec.bitstream import Kind, MotionGroup, PivotFragment, Request, SoundBundle, Wanted, parse
from visavis.core.errors import CodecError
from visavis.drawn.synthetic import TalkingFace
from visavis.generators.base import Generator
from visavis.media.frame import Frame
from visavis.pipelines.call.decoder import CallDecoder
from visavis.pipelines.call.encoder import CallEncoder
from visavis.pipelines.call.settings import CallSettings

FRAMES = 160
NO_CHECK = float("inf")


@pytest.fixture(scope="module")
def generator() -> Generator:
    return keypoint()


@cache
def call(mode: str = "adaptive", group: int = 4) -> tuple[bytes, ...]:
    """A call with sound, of 6.4 s, in which the head sways."""
    chosen = CallSettings(mode=mode, group=group, quality_drop_db=NO_CHECK, angles=(90, 90, 90))
    return tuple(encode(keypoint(), TalkingFace(1, 96).frames(FRAMES), chosen, sound=True))


def hostile(seed: int) -> bytes:
    """A packet of a real kind whose fields are anything."""
    noise = np.random.default_rng(seed)
    first = int(noise.integers(1, 7)) << 5 | int(noise.integers(0, 32))
    return bytes([first, *noise.integers(0, 256, int(noise.integers(0, 200))).tolist()])


def kind(packet: bytes) -> int:
    return packet[0] >> 5


def is_picture(packet: bytes) -> bool:
    return kind(packet) in (Kind.HEADER, Kind.PIVOT)


def lose_motion(packets: tuple[bytes, ...], share: float, burst: int, seed: int) -> Iterator[bytes]:
    """Loss of motion alone; the pictures come through, as they are asked for until they do."""
    kept = set(map(id, lossy([p for p in packets if kind(p) == Kind.MOTION], share, burst=burst, seed=seed)))
    return (packet for packet in packets if kind(packet) != Kind.MOTION or id(packet) in kept)


@pytest.mark.parametrize("share", [0.0, 0.05, 0.1, 0.2, 0.3])
@pytest.mark.parametrize("burst", [1, 4])
def test_any_loss_of_motion_is_concealed_and_counted(generator: Generator, share: float, burst: int):
    packets = list(lose_motion(call(), share, burst, seed=3))
    lost = sum(kind(p) == Kind.MOTION for p in call()) - sum(kind(p) == Kind.MOTION for p in packets)
    frames, decoder = decode(generator, packets)
    times = [frame.time for frame in frames]
    assert times == sorted(set(times))
    # Groups lost at the very end leave nothing behind that tells of them.
    assert 0 <= lost - decoder.lost_groups <= 8
    assert decoder.tally.concealed <= 4 * lost + 24
    assert (lost == 0) == (decoder.tally.concealed == 0)
    assert len(frames) >= FRAMES - 4 * 8 - 25


def test_pictures_heal_within_a_second_of_a_loss(generator: Generator):
    """From the next absolute group on they are the very same bytes again."""
    whole, _ = decode(generator, call())
    motion = [p for p in call() if kind(p) == Kind.MOTION]
    gone = set(map(id, motion[10:13]))
    healed, decoder = decode(generator, [p for p in call() if id(p) not in gone])
    assert decoder.lost_groups == 3 and len(healed) == len(whole)
    same = [np.array_equal(a.pixels, b.pixels) for a, b in zip(whole, healed, strict=True)]
    assert all(same[:40]) and not all(same[40:52])
    assert all(same[52 + 25 :])


def test_concealed_motion_is_near_the_truth(generator: Generator):
    """Nearer than a picture that stands still for a second would be."""
    whole, _ = decode(generator, call("paper80"))
    motion = [p for p in call("paper80") if kind(p) == Kind.POINTS]
    gone = set(map(id, motion[10:14]))
    made, _ = decode(generator, [p for p in call("paper80") if id(p) not in gone])
    worst = max(float(np.abs(a.pixels.astype(int) - b.pixels).mean()) for a, b in zip(whole, made, strict=True))
    still = max(float(np.abs(a.pixels.astype(int) - whole[39].pixels).mean()) for a in whole[40:65])
    assert worst < still


@pytest.mark.parametrize("mode", ["adaptive", "paper80"])
def test_neighbours_that_are_swapped_or_doubled_change_nothing(generator: Generator, mode: str):
    whole, _ = decode(generator, call(mode))
    packets = list(call(mode))
    swapped = packets[:1]
    for at in range(1, len(packets), 2):
        swapped += packets[at : at + 2][::-1]
    doubled = [packet for packet in packets for _ in range(2)]
    for changed in (swapped, doubled):
        frames, decoder = decode(generator, changed)
        assert decoder.tally.concealed == 0
        assert [frame.time for frame in frames] == [frame.time for frame in whole]
        assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(whole, frames, strict=True))


@pytest.mark.parametrize("share", [0.1, 0.3])
def test_a_lost_pivot_is_asked_for_again_and_comes(generator: Generator, share: float):
    """Over a link that loses packets both ways, with nothing else to repair it."""
    chosen = CallSettings(group=4, quality_drop_db=NO_CHECK)
    noise = np.random.default_rng(4)
    asked = 0
    frames: list[Frame] = []
    with (
        CallEncoder(generator, TINY, fps=FPS, settings=chosen) as encoder,
        CallDecoder(generator, TINY) as decoder,
    ):
        for frame in TalkingFace(1, 96).frames(200):
            packets = encoder.push(frame)
            for request in decoder.take_requests():
                asked += parse(request).kind is Request.kind
                if noise.random() >= share:
                    packets += encoder.receive(request)
            for packet in packets:
                # The first sending of every pivot is lost altogether.
                first = kind(packet) == Kind.PIVOT and not asked
                if not first and noise.random() >= share:
                    frames += decoder.push(packet)
    assert asked and len(frames) > 100
    assert frames[-1].time >= 180 / FPS


def test_a_header_that_is_lost_is_asked_for(generator: Generator):
    with CallEncoder(generator, TINY, fps=FPS) as encoder, CallDecoder(generator, TINY) as decoder:
        frames: list[Frame] = []
        for number, frame in enumerate(TalkingFace(1, 96).frames(64)):
            packets = encoder.push(frame)
            packets = packets[1:] if number == 0 else packets
            for request in decoder.take_requests():
                packets += encoder.receive(request)
            for packet in packets:
                frames += decoder.push(packet)
    assert frames and frames[-1].time >= 40 / FPS


def test_sound_that_is_lost_is_silence_of_its_length(generator: Generator):
    def sound(packets: tuple[bytes, ...]) -> np.ndarray:
        with CallDecoder(generator, TINY) as decoder:
            parts = []
            for packet in packets:
                decoder.push(packet)
                parts.append(decoder.take_sound())
            decoder.finish()
            return np.concatenate([*parts, decoder.take_sound()])

    bundles = [p for p in call() if kind(p) == Kind.SOUND]
    whole = sound(call())
    holed = sound(tuple(p for p in call() if p is not bundles[20]))
    assert len(whole) == len(holed)
    first = parse(bundles[20])
    assert isinstance(first, SoundBundle)
    at = first.first * 2880 - 312
    assert not holed[at : at + 2 * 2880].any()
    assert np.array_equal(whole[:at], holed[:at])
    assert np.abs(whole[at + 4 * 2880 :] - holed[at + 4 * 2880 :]).max() < 0.05


def test_joining_late_begins_at_the_sounds_time(generator: Generator):
    pictures = [packet for packet in call() if is_picture(packet)]
    others = [packet for packet in call() if not is_picture(packet)]
    frames, _ = decode(generator, [*pictures, *others[len(others) // 2 :]])
    assert frames[0].time >= 2
    assert frames[-1].time == (FRAMES - 1) / FPS


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_damaged_calls_are_frames_or_one_error(generator: Generator, data: st.DataObject):
    """Bits flipped, packets cut, junk between them."""
    packets = list(call()[:60])
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, len(packets) - 1))
        spoil = data.draw(st.sampled_from(["flip", "cut", "junk", "drop", "copy"]))
        packet = packets[at]
        if spoil == "flip" and packet:
            where = data.draw(st.integers(0, len(packet) - 1))
            packets[at] = packet[:where] + bytes([packet[where] ^ data.draw(st.integers(1, 255))]) + packet[where + 1 :]
        elif spoil == "cut" and packet:
            packets[at] = packet[: data.draw(st.integers(1, len(packet)))]
        elif spoil == "junk":
            packets.insert(at, data.draw(st.binary(max_size=1200)))
        elif spoil == "drop" and len(packets) > 1:
            del packets[at]
        else:
            packets.insert(data.draw(st.integers(0, len(packets))), packet)
    try:
        frames, _ = decode(generator, packets)
    except CodecError as error:
        assert "\n" not in str(error)
    else:
        times = [frame.time for frame in frames]
        assert times == sorted(set(times))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.one_of(st.binary(max_size=1100), st.builds(hostile, st.integers(0, 2**32 - 1))), max_size=40))
def test_hostile_packets_after_a_header_raise_nothing_and_hold_little(generator: Generator, junk: list[bytes]):
    with CallDecoder(generator, TINY) as decoder:
        decoder.push(call()[0])
        for packet in call()[1:12]:
            decoder.push(packet)
        tracemalloc.start()
        try:
            for packet in junk:
                decoder.push(packet)
            decoder.finish()
            assert tracemalloc.get_traced_memory()[1] < 64 << 20
        finally:
            tracemalloc.stop()


def test_far_away_numbers_do_not_make_a_flood_of_frames(generator: Generator):
    header, *rest = call()
    pivots = [packet for packet in rest if kind(packet) == Kind.PIVOT]
    with CallDecoder(generator, TINY) as decoder:
        for packet in (header, *pivots):
            decoder.push(packet)
        made = sum(len(decoder.push(MotionGroup(n * 100 % 256, 0, True, 14, 3, b"").to_bytes())) for n in range(60))
        assert made <= 60 * 9 * 4
        tracemalloc.start()
        for n in range(0, 60_000, 2999):
            decoder.push(SoundBundle(n, 3, (b"",)).to_bytes())
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 64 << 20


def test_requests_that_make_no_sense_are_refused(generator: Generator):
    with CallEncoder(generator, TINY, fps=FPS) as encoder:
        assert encoder.receive(Request(Wanted.PIVOT, 5).to_bytes()) == []
        for junk in (b"", b"\xff", call()[0], PivotFragment(0, 0, 1, b"x").to_bytes()):
            with pytest.raises(CodecError):
                encoder.receive(junk)
