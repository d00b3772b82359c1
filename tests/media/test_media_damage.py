"""Files that are odd, damaged or hostile, and full disks: what can be used is used, the rest is said in one line."""

from __future__ import annotations

import os
import subprocess
import sys
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition

from visavis.core.errors import MediaError, OutputError
from visavis.media.frame import Frame
from visavis.media.reader import SoundReader, VideoReader, probe
from visavis.media.still import read_picture
from visavis.media.writer import VideoWriter, check_output

SIDE = 64


def noise(number: int, side: int = SIDE) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 255, (side, side, 3), np.uint8)


def encode(path: Path, count: int, codec: str = "libx264", start_s: int = 0, fmt: str | None = None) -> None:
    """Write noise, and silence beside it if the file is a transport stream."""
    with av.open(str(path), "w", format=fmt) as file:
        video = file.add_stream(codec, rate=25, options={"g": "5"})
        video.width = video.height = SIDE
        video.pix_fmt = "yuv420p"
        sound = file.add_stream("mp2", rate=48000, layout="mono") if fmt == "mpegts" else None
        for number in range(count):
            picture = av.VideoFrame.from_ndarray(noise(number), format="rgb24")
            picture.pts, picture.time_base = number + start_s * 25, Fraction(1, 25)
            file.mux(video.encode(picture))
            if sound is not None:
                file.mux(sound.encode(tone(1920, (number + start_s * 25) * 1920)))
        file.mux(video.encode(None))
        if sound is not None:
            file.mux(sound.encode(None))


def tone(count: int, at: int, rate: int = 48000) -> av.AudioFrame:
    samples = (9000 * np.sin(2 * np.pi * 440 * (at + np.arange(count)) / rate)).astype(np.int16)
    frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = rate, at, Fraction(1, rate)
    return frame


@pytest.mark.parametrize("start_s", [0, 50_000])
def test_a_broadcast_begins_at_zero_whatever_its_clock_says(start_s: int, tmp_path: Path):
    encode(tmp_path / "a.ts", 25, "mpeg2video", start_s, "mpegts")
    with VideoReader(tmp_path / "a.ts") as reader:
        times = [frame.time for frame in reader]
    assert 0 <= times[0] < Fraction(1, 20)
    assert times[-1] - times[0] == Fraction(24, 25)
    with SoundReader(tmp_path / "a.ts") as sound:
        assert abs(next(iter(sound)).time) < Fraction(1, 20)


def test_the_cover_of_a_song_is_no_video(tmp_path: Path):
    with av.open(str(tmp_path / "song.m4a"), "w", format="mp4") as file:
        sound = file.add_stream("aac", rate=48000, layout="mono")
        cover = file.add_stream("mjpeg", rate=1)
        cover.width = cover.height = SIDE
        cover.pix_fmt = "yuvj420p"
        cover.disposition = Disposition.attached_pic
        file.mux(cover.encode(av.VideoFrame.from_ndarray(noise(0), format="rgb24")))
        file.mux(cover.encode(None))
        file.mux(sound.encode(tone(48000, 0)))
        file.mux(sound.encode(None))
    with pytest.raises(MediaError, match="no pictures"):
        probe(tmp_path / "song.m4a")


def test_a_video_that_claims_to_be_huge_is_refused_by_its_header(tmp_path: Path):
    _huge(tmp_path / "huge.avi")
    with pytest.raises(MediaError, match="too large") as caught:
        probe(tmp_path / "huge.avi")
    assert "\n" not in str(caught.value)


def _huge(path: Path) -> None:
    with av.open(str(path), "w") as file:
        video = file.add_stream("rawvideo", rate=25)
        video.width = video.height = SIDE
        video.pix_fmt = "bgr24"
        file.mux(video.encode(av.VideoFrame.from_ndarray(noise(0), format="rgb24").reformat(format="bgr24")))
    data = bytearray(path.read_bytes())
    at = data.index(b"strf") + 12  # BITMAPINFOHEADER: size of the header, then width and height
    data[at : at + 8] = (9_000).to_bytes(4, "little") * 2
    path.write_bytes(bytes(data))


def test_a_huge_picture_is_called_too_large(tmp_path: Path):
    (tmp_path / "huge.ppm").write_bytes(b"P6 20000 20000 255\n" + bytes(100))
    with pytest.raises(MediaError, match="too large"):
        read_picture(tmp_path / "huge.ppm")


def test_damage_in_the_middle_costs_only_the_damaged_frames(tmp_path: Path):
    path = tmp_path / "a.mkv"
    encode(path, 40)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = bytes(3000)
    path.write_bytes(bytes(data))
    with VideoReader(path) as reader:
        times = [frame.time for frame in reader]
        assert reader.damaged > 0 or len(times) < 40
    assert 15 < len(times) <= 40
    assert times == sorted(set(times))
    assert times[-1] > Fraction(3, 2) or len(times) > 18


@pytest.mark.parametrize("share", [10, 50, 90])
def test_a_recording_that_broke_off_gives_what_was_recorded(share: int, tmp_path: Path):
    encode(tmp_path / "whole.mkv", 50)
    data = (tmp_path / "whole.mkv").read_bytes()
    (tmp_path / "cut.mkv").write_bytes(data[: len(data) * share // 100])
    with VideoReader(tmp_path / "cut.mkv") as reader:
        count = sum(1 for _ in reader)
    assert abs(count - 50 * share / 100) <= 4


def gappy(path: Path, rate: int = 16000) -> None:
    """A second of tone, a second of nothing, a second of tone."""
    with av.open(str(path), "w") as file:
        stream = file.add_stream("pcm_s16le", rate=rate, layout="mono")
        for start in (0, 2 * rate):
            for at in range(start, start + rate, 1600):
                file.mux(stream.encode(tone(1600, at, rate)))


def test_a_gap_in_the_sound_becomes_silence_in_its_place(tmp_path: Path):
    gappy(tmp_path / "gap.mkv")
    with SoundReader(tmp_path / "gap.mkv") as sound:
        chunks = list(sound)
    for before, after in pairwise(chunks):
        assert after.time == before.time + Fraction(len(before.samples), 16000)
    samples = np.concatenate([chunk.samples for chunk in chunks])
    assert len(samples) == pytest.approx(48000, abs=400)
    loud = [float(np.abs(samples[at + 2000 : at + 14000]).mean()) for at in (0, 16000, 32000)]
    assert loud[1] < 0.001 < 0.1 < min(loud[0], loud[2])


def test_a_gap_is_carried_along(tmp_path: Path):
    gappy(tmp_path / "gap.mkv")
    with VideoWriter(tmp_path / "out.mp4", size=(SIDE, SIDE), fps=Fraction(25), sound=tmp_path / "gap.mkv") as writer:
        for number in range(75):
            writer.write(Frame(noise(0), Fraction(number, 25)))
    with SoundReader(tmp_path / "out.mp4") as sound:
        samples = np.concatenate([chunk.samples for chunk in sound])
    loud = [float(np.abs(samples[at + 2000 : at + 14000]).mean()) for at in (0, 16000, 32000)]
    assert loud[1] < 0.01 < 0.1 < min(loud[0], loud[2])


def test_sound_of_a_changing_shape_stays_one_run(tmp_path: Path):
    """Broadcasts switch from mono to stereo between programmes."""
    for number, layout in enumerate(("mono", "stereo")):
        with av.open(str(tmp_path / f"{number}.mp2"), "w") as piece:
            stream = piece.add_stream("mp2", rate=48000, layout=layout)
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 48000 * (number + 1)), np.int16), "s16", layout)
            frame.sample_rate, frame.pts = 48000, 0
            piece.mux(stream.encode(frame))
            piece.mux(stream.encode(None))
    (tmp_path / "both.mp2").write_bytes((tmp_path / "0.mp2").read_bytes() + (tmp_path / "1.mp2").read_bytes())
    with SoundReader(tmp_path / "both.mp2") as sound:
        total = sum(len(chunk.samples) for chunk in sound)
    assert total == pytest.approx(2 * 16000, abs=1600)


FILL = """
import resource, signal, sys
import numpy as np
from fractions import Fraction
from pathlib import Path
from visavis.core.errors import OutputError
from visavis.media.frame import Frame
from visavis.media.writer import VideoWriter
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
rng = np.random.default_rng(0)
try:
    with VideoWriter(Path(sys.argv[1]), size=(256, 256), fps=Fraction(25)) as writer:
        for number in range(int(sys.argv[2])):
            writer.write(Frame(rng.integers(0, 255, (256, 256, 3), np.uint8), Fraction(number, 25)))
except OutputError as error:
    sys.exit("OutputError " + str(error))
"""


@pytest.mark.parametrize("frames", [3, 80])
def test_when_no_more_can_be_written_it_is_said_and_nothing_is_left(frames: int, tmp_path: Path):
    """The system refuses to let the file grow, early and late: as a full disk does, at the write itself."""
    done = subprocess.run(
        [sys.executable, "-c", FILL, str(tmp_path / "a.mp4"), str(frames)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1, done.stderr
    assert "OutputError" in done.stderr and "a.mp4" in done.stderr
    assert os.listdir(tmp_path) == []


def test_a_folder_that_is_missing_is_said_before_any_work(tmp_path: Path):
    with pytest.raises(OutputError, match=r"a\.mp4"):
        VideoWriter(tmp_path / "nowhere" / "a.mp4", size=(SIDE, SIDE), fps=Fraction(25))
    with pytest.raises(OutputError, match="does not exist"):
        check_output(tmp_path / "nowhere" / "a.mp4", [], force=False)


def test_an_existing_file_survives_a_failed_write(tmp_path: Path):
    (tmp_path / "a.mp4").write_text("precious")
    with pytest.raises(RuntimeError), VideoWriter(tmp_path / "a.mp4", size=(SIDE, SIDE), fps=Fraction(25)) as writer:
        writer.write(Frame(noise(0), Fraction(0)))
        raise RuntimeError
    assert (tmp_path / "a.mp4").read_text() == "precious"
    with pytest.raises(OutputError, match="--force"):
        check_output(tmp_path / "a.mp4", [], force=False)
    check_output(tmp_path / "a.mp4", [], force=True)
    with pytest.raises(OutputError, match="input"):
        check_output(tmp_path / "a.mp4", [tmp_path / "." / "a.mp4"], force=True)
