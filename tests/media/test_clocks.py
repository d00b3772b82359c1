"""Time counts from a file's start and goes on where stamps jump, sound and pictures together."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from visavis.media.clock import at_constant_rate
from visavis.media.frame import Frame
from visavis.media.rate import estimated
from visavis.media.reader import SoundReader, VideoReader, probe
from visavis.media.timeline import length_of

SIDE, RATE = 64, 48_000
FLASH = 10  # number of the white picture, and of the block of sound that is loud
FPS = Fraction(25)


def write(
    path: Path, *, start_s: float = 0, count: int = 25, side: int = SIDE, heard: bool = True, **options: str
) -> None:
    """Dark pictures and silence from ``start_s`` on, but for one white picture and a tone just as long."""
    kind = path.suffix[1:]
    codecs = {
        "webm": ("libvpx", "libopus"),
        "avi": ("libx264", "pcm_s16le"),
        "mpg": ("mpeg2video", "mp2"),
        "vob": ("mpeg2video", "mp2"),
    }
    video_codec, sound_codec = codecs.get(kind, ("libx264", "aac"))
    with av.open(str(path), "w", options=options) as file:
        video = file.add_stream(video_codec, rate=25)
        video.width = video.height = side
        video.pix_fmt = "yuv420p"
        sound = file.add_stream(sound_codec, rate=RATE, layout="mono") if heard else None
        for number in range(count):
            picture = np.full((side, side, 3), 250 if number == FLASH else 20, np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = number + round(start_s * 25), 1 / FPS
            file.mux(video.encode(frame))
            if sound is None:
                continue
            tone = 0.8 * np.sin(0.2 * np.arange(1920)) if number == FLASH else np.zeros(1920)
            block = av.AudioFrame.from_ndarray(tone.astype(np.float32)[None], "fltp", "mono")
            block.sample_rate, block.time_base = RATE, Fraction(1, RATE)
            block.pts = number * 1920 + round(start_s * RATE)
            file.mux(sound.encode(block))
        file.mux(video.encode(None))
        if sound is not None:
            file.mux(sound.encode(None))


def append(target: Path, *parts: Path) -> Path:
    target.write_bytes(b"".join(part.read_bytes() for part in parts))
    return target


def seen(path: Path) -> tuple[list[Fraction], list[Fraction]]:
    """Times of all frames, and of the white ones."""
    with VideoReader(path) as reader:
        frames = list(reader)
        assert reader.damaged == 0
    return [frame.time for frame in frames], [frame.time for frame in frames if frame.pixels.mean() > 150]


def heard(path: Path) -> list[float]:
    """Times at which a tone begins."""
    with SoundReader(path) as sound:
        chunks = list(sound)
    samples = np.concatenate([chunk.samples for chunk in chunks])
    loud = np.flatnonzero(np.abs(samples) > 0.2) / 16_000 + float(chunks[0].time)
    return [float(time) for time, before in zip(loud, [-9.0, *loud], strict=False) if time - before > 0.3]


KINDS = {
    "late.webm": {},
    "late.mkv": {},
    "late.flv": {},
    "late.mp4": {"movflags": "use_metadata_tags"},
    "fragments.mp4": {"movflags": "frag_keyframe+empty_moov+default_base_moof", "use_editlist": "0"},
    "late.ts": {},
    "late.mpg": {},
}


@pytest.mark.parametrize("name", KINDS)
def test_time_counts_from_the_start_of_the_file(name: str, tmp_path: Path):
    """A live stream that was joined late, a segment, a cut that kept its stamps."""
    write(tmp_path / name, start_s=3600, **KINDS[name])
    times, white = seen(tmp_path / name)
    assert len(times) == 25
    assert 0 <= times[0] < Fraction(1, 10)
    assert times[-1] - times[0] == pytest.approx(24 / 25, abs=0.002)
    assert white == [times[FLASH]]
    assert heard(tmp_path / name) == [pytest.approx(float(white[0]), abs=0.025)]
    if not name.endswith("mpg"):  # which says nothing about its length
        assert probe(tmp_path / name).duration == pytest.approx(1, abs=0.12)


JOINS = [
    ("a.ts", 0, 0),
    ("a.ts", 0, 5000),
    ("a.ts", 5000, 0),
    ("a.mpg", 0, 0),
    ("a.mpg", 3, 700),
    ("a.vob", 0, 0),
    ("a.vob", 1000, 0),
    ("a.webm", 0, 0),
    ("a.webm", 3600, 0),
    ("a.webm", 0, 3600),
    ("a.mkv", 0, 0),
]


@pytest.mark.parametrize(("name", "first_s", "second_s"), JOINS)
def test_what_follows_a_jump_of_the_clock_is_joined(name: str, first_s: int, second_s: int, tmp_path: Path):
    """Two recordings in one file: no frame is lost, none waits, and sound stays beside its picture after the jump."""
    write(tmp_path / name, start_s=first_s)
    write(tmp_path / f"b-{name}", start_s=second_s)
    both = append(tmp_path / f"both-{name}", tmp_path / name, tmp_path / f"b-{name}")
    times, white = seen(both)
    assert len(times) == 50
    steps = [float(after - before) for before, after in pairwise(times)]
    assert max(steps) < 0.1 and min(steps) > 0.02
    assert white == [times[FLASH], times[25 + FLASH]]
    assert heard(both) == pytest.approx([float(time) for time in white], abs=0.03)


@pytest.mark.parametrize(("first_s", "second_s"), [(3, 700), (700, 3)])
def test_sound_that_only_the_second_recording_has_is_beside_its_picture(first_s: int, second_s: int, tmp_path: Path):
    write(tmp_path / "a.ts", start_s=first_s, heard=False)
    write(tmp_path / "b.ts", start_s=second_s)
    both = append(tmp_path / "both.ts", tmp_path / "a.ts", tmp_path / "b.ts")
    times, white = seen(both)
    assert len(times) == 50
    assert heard(both) == [pytest.approx(float(white[1]), abs=0.06)]


def test_the_length_of_a_broadcast_is_what_its_packets_tell(tmp_path: Path):
    """A clock that wraps, one that goes back, one that goes ahead: first and last stamp tell nothing."""
    for first_s, second_s in ((2**33 / 90_000 - 0.4, 700), (700, 3), (3, 700)):
        write(tmp_path / "a.ts", start_s=first_s)
        write(tmp_path / "b.ts", start_s=second_s)
        both = append(tmp_path / "both.ts", tmp_path / "a.ts", tmp_path / "b.ts")
        assert length_of(both) == pytest.approx(2, abs=0.1)


@pytest.mark.parametrize("name", ["a.ts", "a.mpg"])
def test_a_clock_of_33_bits_may_wrap(name: str, tmp_path: Path):
    write(tmp_path / name, start_s=2**33 / 90_000 - 0.4)
    times, white = seen(tmp_path / name)
    assert len(times) == 25 and white == [times[FLASH]]
    assert [after - before for before, after in pairwise(times)] == pytest.approx([0.04] * 24, abs=1e-3)
    assert heard(tmp_path / name) == [pytest.approx(float(white[0]), abs=0.025)]


def test_a_time_in_a_broadcast_is_that_of_the_joined_clock(tmp_path: Path):
    """Begun at 1.5 s: in the second of two recordings, of which each is a second long."""
    write(tmp_path / "a.ts")
    both = append(tmp_path / "both.ts", tmp_path / "a.ts", tmp_path / "a.ts")
    with VideoReader(both) as reader:
        every = [(frame.time, float(frame.pixels.mean())) for frame in reader]
    with VideoReader(both, start=Fraction(3, 2)) as reader:
        late = [(frame.time, float(frame.pixels.mean())) for frame in reader]
    assert late == every[-len(late) :]
    assert Fraction(3, 2) - Fraction(2, 25) <= late[0][0] <= Fraction(3, 2)


def test_a_picture_that_stands_long_is_no_jump(tmp_path: Path):
    """Of a recorded screen: half a minute without a change, while the sound goes on or there is none."""
    with av.open(str(tmp_path / "screen.mkv"), "w") as file:
        video = file.add_stream("libvpx", rate=25)
        video.width, video.height, video.pix_fmt = SIDE, SIDE, "yuv420p"
        for number in (0, 1, 2, 752, 753):
            frame = av.VideoFrame.from_ndarray(np.full((SIDE, SIDE, 3), 20, np.uint8), format="rgb24")
            frame.pts, frame.time_base = number, 1 / FPS
            file.mux(video.encode(frame))
        file.mux(video.encode(None))
    assert seen(tmp_path / "screen.mkv")[0][-1] == pytest.approx(753 / 25, abs=0.001)


@pytest.mark.parametrize(
    ("milliseconds", "fps"),
    [
        ([0, 33, 67, 100, 133, 167, 200], Fraction(30)),
        ([0, 17, 33, 50, 67, 83, 100, 117], Fraction(60)),
        ([0, 42, 83, 125, 167, 208], Fraction(24)),
        ([0, 40, 80, 400, 440, 480, 520], Fraction(25)),  # a pause
        ([0, 33, 67, 133, 167, 200, 233, 300, 333, 367, 400], Fraction(30)),  # frames left out
        ([100, 33, 0, 67, 133], Fraction(30)),  # in order of decoding
    ],
)
def test_the_rate_is_that_of_most_steps(milliseconds: list[int], fps: Fraction):
    assert estimated([Fraction(time, 1000) for time in milliseconds]) == fps


def test_pictures_of_avi_are_shown_one_after_another(tmp_path: Path):
    """It stores no time of display, and its pictures are coded in another order: none is lost, none is late."""
    write(tmp_path / "a.avi")
    times, white = seen(tmp_path / "a.avi")
    assert times == [Fraction(n, 25) for n in range(25)]
    assert white == [Fraction(FLASH, 25)]
    assert heard(tmp_path / "a.avi") == [pytest.approx(FLASH / 25, abs=0.01)]


def stamped(path: Path, times_ms: list[int], codec: str) -> None:
    """Grey pictures at times of a clock of milliseconds."""
    with av.open(str(path), "w") as file:
        video = file.add_stream(codec, rate=25)
        video.width, video.height, video.pix_fmt = SIDE, SIDE, "yuv420p"
        video.codec_context.time_base = Fraction(1, 1000)
        for time in times_ms:
            frame = av.VideoFrame.from_ndarray(np.full((SIDE, SIDE, 3), 90, np.uint8), format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            file.mux(video.encode(frame))
        file.mux(video.encode(None))


def test_a_fine_clock_is_no_rate(tmp_path: Path):
    """An AVI that says it has a thousand frames a second, of which it leaves out most."""
    stamped(tmp_path / "a.avi", [round(n * 1000 / 24) for n in range(30)], "mpeg4")
    assert probe(tmp_path / "a.avi").fps == 24
    assert len(seen(tmp_path / "a.avi")[0]) == 30


def test_a_picture_that_stands_long_does_not_slow_the_others(tmp_path: Path):
    stamped(tmp_path / "a.mp4", [n * 40 + (2000 if n > 10 else 0) for n in range(30)], "mpeg4")
    assert probe(tmp_path / "a.mp4").fps == 25


def test_frames_of_an_uneven_rate_have_a_rate_of_the_middle():
    assert estimated([Fraction(time, 1000) for time in (0, 31, 79, 130, 181, 222)]) == pytest.approx(21, abs=2)
    two_rates = [*range(0, 400, 33), *range(425, 1000, 49)]
    assert estimated([Fraction(time, 1000) for time in two_rates]) == pytest.approx(len(two_rates), abs=1)
    assert estimated([Fraction(0)]) is None
    assert estimated([]) is None


def test_a_file_that_states_no_rate_is_counted(tmp_path: Path):
    """As browsers record: uneven steps in milliseconds, and no word about the rate. FFmpeg takes it for 1000."""
    path = tmp_path / "uneven.webm"
    times = [0, 31, 70, 99, 141, 170, 211, 239, 281, 309, 350, 381, 420, 449, 490, 521, 560]
    with av.open(str(path), "w") as file:
        video = file.add_stream("libvpx", rate=1000)
        video.width, video.height, video.pix_fmt = SIDE, SIDE, "yuv420p"
        video.codec_context.time_base = Fraction(1, 1000)
        for time in times:
            frame = av.VideoFrame.from_ndarray(np.full((SIDE, SIDE, 3), 90, np.uint8), format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            file.mux(video.encode(frame))
        file.mux(video.encode(None))
    data = bytearray(path.read_bytes())
    at = data.index(b"\x23\xe3\x83")  # DefaultDuration becomes an element that is skipped
    size = 4 + (data[at + 3] & 0x7F)
    data[at : at + size] = bytes([0xEC, 0x80 | (size - 2)]) + bytes(size - 2)
    path.write_bytes(bytes(data))
    assert probe(path).fps == pytest.approx(1000 / 35, abs=3)
    assert len(seen(path)[0]) == len(times)


def numbered(times: list[Fraction]) -> list[Frame]:
    return [Frame(np.full((2, 2, 3), number, np.uint8), time) for number, time in enumerate(times)]


def numbers(frames: list[Frame], fps: Fraction) -> list[int]:
    found = list(at_constant_rate(iter(frames), fps))
    assert [frame.time for frame in found] == [n / fps for n in range(len(found))]
    return [int(frame.pixels[0, 0, 0]) for frame in found]


@pytest.mark.parametrize("fps", [24, 25, 30, 50, 60])
def test_stamps_in_milliseconds_neither_double_nor_lose_a_frame(fps: int):
    """Rounded down, to the nearest, and up."""
    exact = [Fraction(n, fps) for n in range(90)]
    for rounded in (lambda t: int(t * 1000), lambda t: round(t * 1000), lambda t: -int(-t * 1000 // 1)):
        frames = numbered([Fraction(rounded(time), 1000) for time in exact])
        assert numbers(frames, Fraction(fps)) == list(range(90))


def test_at_another_rate_the_nearest_frame_is_taken():
    thirty = numbered([Fraction(n, 30) for n in range(12)])
    assert numbers(thirty, Fraction(25)) == [0, 1, 2, 4, 5, 6, 7, 8, 10, 11]
    fifty = numbered([Fraction(n, 50) for n in range(10)])
    assert numbers(fifty, FPS) == [0, 2, 4, 6, 8]
    assert numbers(numbered([Fraction(n, 100) for n in (0, 9, 13)]), FPS) == [0, 0, 1, 2]
    assert numbers([], FPS) == []
    assert numbers(numbered([Fraction(1, 3)]), FPS) == [0] * 9
