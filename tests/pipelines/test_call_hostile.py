"""Calls that ask for more than they bring: what they cost is bounded by their own frames, whatever they claim."""

from __future__ import annotations

import tempfile
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from calls import FPS, TINY, avfr, decode, encode, keypoint
from visavis.codec.bitstream import End, Header, Kind, MotionGroup, PivotFragment, SoundBundle, parse
from visavis.codec.container import MARK, record
from visavis.codec.pivots import Pivot, PivotAssembler, fragments
from visavis.codec.sound import RATE_HZ, Piece, SoundEncoder
from visavis.codec.stills import encode_still
from visavis.core.errors import CodecError
from visavis.drawn.synthetic import Pose, TalkingFace, draw
from visavis.generators.base import Generator
from visavis.media.frame import Frame, Sound
from visavis.media.writer import VideoWriter
from visavis.pipelines.call import painter as painting
from visavis.pipelines.call.decoder import CallDecoder, filled
from visavis.pipelines.call.heard import HeardSound
from visavis.pipelines.call.hearing import Hearing
from visavis.pipelines.call.settings import CallSettings
from visavis.pipelines.call.sound_files import CallSound, SoundTrack

FRAMES = 16
SECONDS = Fraction(FRAMES, 25)
SETTINGS = CallSettings(group=4, quality_drop_db=float("inf"), angles=(90, 90, 90))


@pytest.fixture(scope="module")
def generator() -> Generator:
    return keypoint()


@cache
def call() -> tuple[bytes, ...]:
    """A call with sound of 16 frames."""
    return tuple(encode(keypoint(), TalkingFace(1, 96).frames(FRAMES), SETTINGS, sound=True))


def of_kind(*kinds: Kind) -> list[bytes]:
    return [packet for packet in call() if packet[0] >> 5 in kinds]


def gaps() -> Iterator[SoundBundle]:
    """Three at a time, so that they are believed, 180 s after those before."""
    for number in range(200):
        for at in range(3):
            yield SoundBundle(3000 * (number + 1) + at, 3, (b"",))


def far() -> Iterator[SoundBundle]:
    """As far as numbers go."""
    for at in range(60):
        yield SoundBundle((1 << 32) - 100 + at, 3, (b"",))


def empties() -> Iterator[SoundBundle]:
    """One byte claims 60 ms."""
    for number in range(400):
        yield SoundBundle(16 * number, 3, (b"",) * 16)


def quiet() -> Iterator[SoundBundle]:
    """Two bytes of Opus are 60 ms of real silence."""
    for number in range(40):
        yield SoundBundle(16 * number, 3, (b"\x18\x00",) * 16)


def mixed() -> Iterator[SoundBundle]:
    """Durations change, so that places would jump forth and back."""
    for number in range(300):
        yield SoundBundle(1000 * number, 1 + number % 3, (b"",))


def junk() -> Iterator[SoundBundle]:
    """Opus that cannot be decoded."""
    for number in range(100):
        yield SoundBundle(16 * number, 3, (b"\xff",) * 16)


HOSTILE = [gaps, far, empties, quiet, mixed, junk]


@pytest.mark.parametrize("bundles", HOSTILE)
def test_a_file_gets_no_more_sound_than_it_has_pictures(
    generator: Generator, bundles: Callable[[], Iterator[SoundBundle]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """However long a silence the call claims; nothing is written but the result, and little is held."""
    hostile = [*of_kind(Kind.HEADER), *(bundle.to_bytes() for bundle in bundles()), *of_kind(Kind.PIVOT, Kind.MOTION)]
    path, out = tmp_path / "bomb.vsv", tmp_path / "out.mp4"
    path.write_bytes(MARK + b"".join(map(record, hostile)))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "full"))  # there is no place for anything else
    tracemalloc.start()
    with VideoWriter(out, size=(64, 64), fps=FPS, sound=CallSound(path)) as writer:
        for number in range(FRAMES):
            writer.write(Frame(np.zeros((64, 64, 3), np.uint8), number / FPS))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    with av.open(str(out)) as container:
        samples = sum(frame.samples for frame in container.decode(audio=0)) if container.streams.audio else 0
    assert samples <= SECONDS * RATE_HZ + 2 * 1024
    assert out.stat().st_size < 100_000 and peak < 8 << 20
    assert sorted(tmp_path.iterdir()) == [path, out]


@pytest.mark.parametrize("bundles", HOSTILE)
def test_pictures_of_a_file_begin_at_its_beginning_wherever_its_sound_claims_to_be(
    generator: Generator, bundles: Callable[[], Iterator[SoundBundle]]
):
    packets = [*of_kind(Kind.HEADER), *(bundle.to_bytes() for bundle in bundles()), *of_kind(Kind.PIVOT, Kind.MOTION)]
    with CallDecoder(generator, TINY, whole=True) as decoder:
        times = [frame.time for frame in decoder.play(packets)]
    assert times == [number / FPS for number in range(FRAMES)]


@pytest.mark.parametrize("bundles", HOSTILE)
def test_a_receiver_makes_ten_seconds_of_silence_and_then_what_is_paid_for(
    bundles: Callable[[], Iterator[SoundBundle]], monkeypatch: pytest.MonkeyPatch
):
    """No packet costs more than the sound that is in it."""
    heard, pieces = 0, 0
    push = Hearing.push

    def counted(self: Hearing, piece: Piece) -> None:
        nonlocal pieces
        pieces += 1
        push(self, piece)

    generator = avfr()
    packets = encode(generator, TalkingFace(1, 96).frames(1), SETTINGS, sound=True)
    monkeypatch.setattr(Hearing, "push", counted)
    opus = 0
    with CallDecoder(generator, TINY) as decoder:
        decoder.push(packets[0])
        tracemalloc.start()
        for bundle in bundles():
            opus += sum(map(bool, bundle.packets))
            decoder.push(bundle.to_bytes())
            heard += len(decoder.take_sound())
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert pieces <= opus
    assert heard <= 10 * RATE_HZ + opus * 2880
    assert peak < 32 << 20


def test_silence_is_made_while_it_is_paid_for():
    """In a call of which half the sound is lost every hole is filled; a hole of minutes is jumped over, in place."""
    heard, second = HeardSound(), np.ones(RATE_HZ, np.float32)
    for at in range(0, 100, 2):
        heard.push(Piece(at * RATE_HZ, second))
    made = heard.take()
    assert len(made) == 30 * RATE_HZ  # nobody took it for so long
    heard.push(Piece(500 * RATE_HZ, second))
    assert heard.first == 500 * RATE_HZ and len(heard.take()) == RATE_HZ
    heard.push(Piece(509 * RATE_HZ, second))
    assert heard.first == 501 * RATE_HZ and len(heard.take()) == 9 * RATE_HZ
    heard.push(Piece(519 * RATE_HZ, second))
    assert heard.first == 519 * RATE_HZ  # what was ahead is used up
    heard.take()
    heard.earn(5)
    heard.push(Piece(525 * RATE_HZ, second))
    assert len(heard.take()) == 6 * RATE_HZ


def test_sound_after_a_long_break_comes_back_at_its_place(tmp_path: Path):
    """In a file too: what follows a hole of 20 s is in time with its pictures."""
    voice = TalkingFace(1).sound(0.6, RATE_HZ).samples
    encoder = SoundEncoder()
    bundles = [parse(packet) for packet in [*encoder.push(voice), *encoder.finish()]]
    late = [replace(b, first=b.first + 400) for b in bundles if isinstance(b, SoundBundle)]
    header = of_kind(Kind.HEADER)
    packets = [*header, *(b.to_bytes() for b in [*bundles, *late])]
    path, out = tmp_path / "break.vsv", tmp_path / "out.mp4"
    path.write_bytes(MARK + b"".join(map(record, packets)))
    with VideoWriter(out, size=(64, 64), fps=Fraction(5), sound=CallSound(path)) as writer:
        for number in range(125):
            writer.write(Frame(np.zeros((64, 64, 3), np.uint8), Fraction(number, 5)))
    with av.open(str(out)) as container:
        loud = [float(f.time or 0) for f in container.decode(audio=0) if np.abs(f.to_ndarray()).max() > 0.05]
    assert loud[0] < 0.5 and min(abs(time - (24 + loud[0])) for time in loud) < 0.05
    assert not [time for time in loud if 1 < time < 23.5]


def test_pivots_that_no_motion_names_are_not_prepared(generator: Generator, monkeypatch: pytest.MonkeyPatch):
    prepared: list[bytes] = []
    prepare = painting.Painter.prepare

    def counted(self: painting.Painter, coded: bytes, *rest: Any) -> Any:
        prepared.append(coded)
        return prepare(self, coded, *rest)

    packets = list(call())
    monkeypatch.setattr(painting.Painter, "prepare", counted)
    assembler = PivotAssembler()
    (pivot,) = [p for f in of_kind(Kind.PIVOT) if (p := assembler.push(parse(f))) is not None]  # type: ignore[arg-type]
    pictures = [encode_still(draw(64, seed, Pose()), 20) for seed in range(3)]
    flood = [piece for n in range(60) for piece in fragments(Pivot(pivot.reference, pictures[n % 3]), n)]
    with CallDecoder(generator, TINY) as decoder:
        for packet in [packets[0], *flood]:
            decoder.push(packet)
        assert prepared == []
        decoder.push(MotionGroup(0, 59 % 8, True, 14, 3, b"").to_bytes())
        assert len(prepared) == 1
        # A picture without a face is tried once, however often it comes.
        blank = fragments(Pivot(pivot.reference, encode_still(np.full((64, 64, 3), 90, np.uint8), 20)), 60)
        for n in range(1, 20):
            for packet in [*blank, MotionGroup(n, 60 % 8, True, 14, 3, b"").to_bytes()]:
                decoder.push(packet)
        assert len(prepared) == 2 and decoder.tally.damaged == 1


def test_a_picture_of_another_size_is_not_decoded(generator: Generator, monkeypatch: pytest.MonkeyPatch):
    packets = list(call())
    assembler = PivotAssembler()
    (pivot,) = [p for f in of_kind(Kind.PIVOT) if (p := assembler.push(parse(f))) is not None]  # type: ignore[arg-type]
    large = encode_still(np.full((512, 512, 3), 90, np.uint8), 0)
    decoded: list[bytes] = []
    monkeypatch.setattr(painting, "decode_still", decoded.append)
    with CallDecoder(generator, TINY) as decoder:
        decoder.push(packets[0])
        for packet in [*fragments(Pivot(pivot.reference, large), 0), MotionGroup(0, 0, True, 14, 3, b"").to_bytes()]:
            decoder.push(packet)
        assert decoder.tally.damaged == 1
    assert decoded == []


def test_headers_that_come_again_are_read_and_no_more(generator: Generator):
    packets = list(call())
    other = replace(Header.parse(packets[0]), fps=Fraction(1), model="other").to_bytes()
    mixed_in = [packet for p in packets for packet in (p, packets[0], other)]
    plain, _ = decode(generator, packets)
    frames, decoder = decode(generator, mixed_in)
    assert decoder.header == Header.parse(packets[0])
    assert [frame.time for frame in frames] == [frame.time for frame in plain]
    with CallDecoder(generator, TINY) as decoder:
        for _ in range(100):
            with pytest.raises(CodecError):
                decoder.push(replace(Header.parse(packets[0]), weights=bytes(32)).to_bytes())
        assert decoder.header is None


@pytest.mark.parametrize("interpolated", [0, 8])
def test_a_jump_in_motion_makes_no_more_than_64_pictures_up(
    generator: Generator, interpolated: int, monkeypatch: pytest.MonkeyPatch
):
    """Six bytes that skip as far as they can."""
    grey = np.zeros((64, 64, 3), np.uint8)
    monkeypatch.setattr(painting.Painter, "paint", lambda *given: grey)
    packets = list(call())
    header = replace(Header.parse(packets[0]), group=8, interpolated=interpolated, has_sound=False)
    whole = 8 * (interpolated + 1)
    for jump in (2, 5, 9, 10, 64, 126):
        with CallDecoder(generator, TINY) as decoder:
            for packet in [header.to_bytes(), *of_kind(Kind.PIVOT), MotionGroup(0, 0, True, 14, 3, b"").to_bytes()]:
                decoder.push(packet)
            made = decoder.tally.frames
            for number in (jump, jump + 1):
                decoder.push(MotionGroup(number, 0, True, 14, 3, b"").to_bytes())
            decoder.finish()
            assert decoder.tally.frames - made <= 2 * whole + max(64, whole)


def test_an_end_that_is_far_away_makes_no_pictures(generator: Generator):
    packets = [packet for packet in call() if packet[0] >> 5 != Kind.END]
    with CallDecoder(generator, TINY) as decoder:
        frames = list(filled(decoder.play([*packets, End((1 << 32) - 1).to_bytes()]), decoder, FPS))
    assert len(frames) == FRAMES


def test_pieces_of_many_pivots_are_let_go(generator: Generator):
    """Of 64 pieces each, of which the last never comes."""
    with CallDecoder(generator, TINY) as decoder:
        decoder.push(call()[0])
        tracemalloc.start()
        for turn in range(20):
            for number in range(8):
                for index in range(0, 63, 4):
                    decoder.push(PivotFragment(number, index, 64, bytes([turn]) * 1000).to_bytes())
        held = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
    assert held < 1 << 20


def test_sound_that_begins_hours_later_is_not_awaited_in_memory():
    """What a file claims of its sound's beginning makes no silence but that of the frames."""
    voice = np.arange(1, 4801, dtype=np.float32)
    chunks = [
        Sound(voice[:2000], RATE_HZ, Fraction(5000)),
        Sound(voice[2000:], RATE_HZ, 5000 + Fraction(2000, RATE_HZ)),
    ]
    track = SoundTrack(chunks)
    tracemalloc.start()
    assert not track.until(Fraction(1)).any()
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()
    late = SoundTrack([Sound(s.samples, RATE_HZ, s.time - 5000 + Fraction(1, 100)) for s in chunks])
    parts = np.concatenate([late.until(Fraction(n, 25)) for n in range(1, 5)])
    assert np.array_equal(parts, np.concatenate([np.zeros(480), voice, np.zeros(7680 - 480 - 4800)]))
