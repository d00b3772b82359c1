"""Frames and sound keep their places from file to file, whatever the file."""

from __future__ import annotations

import errno
import os
import resource
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from visavis.core.errors import MediaError, OutputError
from visavis.drawn.synthetic import TalkingFace, draw, write_clip, write_wave
from visavis.media.clock import at_constant_rate
from visavis.media.frame import Frame
from visavis.media.provenance import DIGITAL_SOURCE_TYPE, marks
from visavis.media.reader import SoundReader, VideoReader, probe
from visavis.media.still import is_picture, read_picture, write_picture
from visavis.media.writer import VideoWriter

RATES = [Fraction(24), Fraction(25), Fraction(30000, 1001), Fraction(50), Fraction(60000, 1001)]


def flat(value: int, height: int = 48, width: int = 64) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def write(path: Path, times: list[Fraction], fps: Fraction = Fraction(25), **options: object) -> None:
    with VideoWriter(path, size=(48, 64), fps=fps, **options) as writer:  # type: ignore[arg-type]
        for number, time in enumerate(times):
            writer.write(Frame(flat(20 + 10 * number % 200), time))


def encode(path: Path, codec: str, pix_fmt: str, pictures: list[np.ndarray], pixels: str) -> None:
    """Write pictures with PyAV alone, in forms that our own writer never makes."""
    with av.open(str(path), "w") as file:
        stream = file.add_stream(codec, rate=25)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = pix_fmt
        for picture in pictures:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format=pixels)))
        file.mux(stream.encode(None))


def sound_file(path: Path, seconds: float, rate: int, layout: str) -> None:
    """A 440 Hz tone in every channel."""
    channels = {"mono": 1, "stereo": 2, "5.1": 6}[layout]
    with av.open(str(path), "w") as file:
        stream = file.add_stream("pcm_s16le", rate=rate)
        stream.layout = layout
        tone = np.sin(2 * np.pi * 440 * np.arange(int(seconds * rate)) / rate) * 9000
        samples = np.repeat(tone.astype(np.int16)[:, None], channels, 1).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout=layout)
        frame.sample_rate, frame.pts = rate, 0
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))


def times_of(path: Path) -> list[Fraction]:
    with VideoReader(path) as reader:
        return [frame.time for frame in reader]


def sound_seconds(path: Path) -> float:
    with SoundReader(path, 16000) as sound:
        ends = [chunk.time + Fraction(len(chunk.samples), 16000) for chunk in sound]
    return float(ends[-1]) if ends else 0.0


@pytest.mark.parametrize("fps", RATES, ids=str)
def test_frame_times_survive_exactly_enough(fps: Fraction, tmp_path: Path):
    """To half a tick of 1/90000 s, never accumulating: that is 0.006 ms after any length."""
    times = [number / fps for number in range(40)]
    write(tmp_path / "a.mp4", times, fps)
    found = times_of(tmp_path / "a.mp4")
    assert len(found) == 40
    assert max(abs(a - b) for a, b in zip(found, times, strict=True)) <= Fraction(1, 180_000)
    assert probe(tmp_path / "a.mp4").fps == pytest.approx(float(fps), rel=1e-3)


def test_variable_frame_rate_keeps_every_time(tmp_path: Path):
    times = [Fraction(n, 1000) for n in (0, 40, 73, 200, 201, 500, 533, 1200)]
    write(tmp_path / "vfr.mp4", times)
    assert max(abs(a - b) for a, b in zip(times_of(tmp_path / "vfr.mp4"), times, strict=True)) < Fraction(1, 90_000)


def test_an_hour_drifts_by_less_than_a_frame(tmp_path: Path):
    """Frames ten seconds apart for an hour of 29.97 fps, beside its sound."""
    fps = Fraction(30000, 1001)
    times = [Fraction(number * 300) / fps for number in range(360)]
    write(tmp_path / "hour.mp4", times, fps)
    found = times_of(tmp_path / "hour.mp4")
    assert float(found[-1]) > 3590
    assert abs(found[-1] - times[-1]) < Fraction(1, 90_000)


@pytest.mark.parametrize(("height", "width"), [(47, 63), (1, 1), (48, 65)])
def test_odd_sizes_are_padded_by_one(height: int, width: int, tmp_path: Path):
    with VideoWriter(tmp_path / "odd.mp4", size=(height, width), fps=Fraction(25)) as writer:
        writer.write(Frame(flat(100, height, width), Fraction(0)))
    info = probe(tmp_path / "odd.mp4")
    assert (info.height, info.width) == (height + height % 2, width + width % 2)


@pytest.mark.parametrize(
    ("layout", "rate"), [("mono", 8000), ("stereo", 44100), ("5.1", 48000), ("mono", 22050), ("stereo", 96000)]
)
def test_any_sound_is_carried_and_ends_with_the_pictures(layout: str, rate: int, tmp_path: Path):
    times = [Fraction(number, 25) for number in range(30)]
    for seconds in (3.0, 1.2, 0.5):
        sound_file(tmp_path / "sound.wav", seconds, rate, layout)
        write(tmp_path / "out.mp4", times, sound=tmp_path / "sound.wav")
        expected = min(seconds, 1.2)
        assert sound_seconds(tmp_path / "out.mp4") == pytest.approx(expected, abs=0.04)
        (tmp_path / "out.mp4").unlink()


def test_sound_stays_beside_its_picture(tmp_path: Path):
    """A click in the middle of the sound comes out where it went in."""
    click = np.zeros(32000, np.float32)
    click[16000:16200] = 0.8
    from visavis.media.frame import Sound

    write_wave(tmp_path / "click.wav", Sound(click, 16000, Fraction(0)))
    write(tmp_path / "out.mp4", [Fraction(n, 25) for n in range(50)], sound=tmp_path / "click.wav")
    with SoundReader(tmp_path / "out.mp4", 16000) as sound:
        loud = [(float(c.time) + np.abs(c.samples).argmax() / 16000, np.abs(c.samples).max()) for c in sound]
    assert max(loud, key=lambda entry: entry[1])[0] == pytest.approx(1.0, abs=0.02)


def test_a_video_without_sound_has_none(tmp_path: Path):
    write_clip(tmp_path / "mute.mp4", 0.2, sound=False)
    assert not probe(tmp_path / "mute.mp4").has_sound
    with SoundReader(tmp_path / "mute.mp4") as sound:
        assert list(sound) == []


def test_grey_alpha_and_ten_bits_become_rgb(tmp_path: Path):
    encode(tmp_path / "grey.mkv", "ffv1", "gray", [np.full((32, 32), 90, np.uint8)] * 3, "gray")
    half = np.zeros((32, 32, 4), np.uint8)
    half[..., 0], half[..., 3] = 200, 128
    encode(tmp_path / "alpha.mov", "png", "rgba", [half] * 3, "rgba")
    encode(tmp_path / "ten.mkv", "ffv1", "yuv420p10le", [flat(120, 32, 32)] * 3, "rgb24")
    for name, colour in (("grey.mkv", (90, 90, 90)), ("alpha.mov", (227, 127, 127)), ("ten.mkv", (120, 120, 120))):
        with VideoReader(tmp_path / name) as reader:
            pixels = next(iter(reader)).pixels
        assert pixels.shape == (32, 32, 3)
        np.testing.assert_allclose(pixels[16, 16], colour, atol=4)


def test_rotation_flags_are_applied(tmp_path: Path):
    """The flag of a phone held upright: the picture comes out upright."""
    picture = flat(0, 32, 64)
    picture[:, :8] = 250
    write_rotated(tmp_path / "rotated.mp4", picture)
    with VideoReader(tmp_path / "rotated.mp4") as reader:
        upright = next(iter(reader)).pixels
        assert (reader.info.height, reader.info.width) == upright.shape[:2] == (64, 32)
    bands = [upright[:6].mean(), upright[-6:].mean()]
    assert max(bands) > 200 > 60 > min(bands)


def write_rotated(path: Path, picture: np.ndarray) -> None:
    """Write an mp4 and set the rotation in its track header's matrix by hand, as cameras do."""
    encode(path, "libx264", "yuv420p", [picture] * 3, "rgb24")
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    one = 1 << 16
    matrix = (0, one, 0, (-one) & 0xFFFFFFFF, 0, 0, 0, 0, 1 << 30)
    data[at : at + 36] = b"".join(value.to_bytes(4, "big") for value in matrix)
    path.write_bytes(bytes(data))


def test_a_truncated_file_gives_what_it_has_or_says_why(tmp_path: Path):
    write_clip(tmp_path / "whole.mp4", 1.0)
    encode(tmp_path / "whole.mkv", "libx264", "yuv420p", [draw(64, seed=n) for n in range(10)], "rgb24")
    for name in ("whole.mp4", "whole.mkv"):
        data = (tmp_path / name).read_bytes()
        for share in (10, 50, 90):
            cut = tmp_path / f"cut-{share}-{name}"
            cut.write_bytes(data[: len(data) * share // 100])
            try:
                assert 1 <= len(times_of(cut)) <= 25
            except MediaError as error:
                assert "\n" not in str(error)


@pytest.mark.parametrize("make", [lambda p: p.touch(), lambda p: p.write_text("hello\n" * 99), lambda p: p.mkdir()])
def test_what_is_no_video_is_refused_in_one_line(make, tmp_path: Path):  # type: ignore[no-untyped-def]
    path = tmp_path / "video.mp4"
    make(path)
    with pytest.raises(MediaError, match=r"video\.mp4") as caught:
        probe(path)
    assert "\n" not in str(caught.value)


def test_sound_alone_is_no_video(tmp_path: Path):
    sound_file(tmp_path / "sound.wav", 0.2, 16000, "mono")
    with pytest.raises(MediaError, match="no pictures"):
        probe(tmp_path / "sound.wav")


def test_an_exception_leaves_no_file(tmp_path: Path):
    with pytest.raises(KeyboardInterrupt), VideoWriter(tmp_path / "a.mp4", size=(48, 64), fps=Fraction(25)) as writer:
        writer.write(Frame(flat(1), Fraction(0)))
        raise KeyboardInterrupt
    with pytest.raises(MediaError), VideoWriter(tmp_path / "b.mp4", size=(48, 64), fps=Fraction(25)):
        pass
    assert os.listdir(tmp_path) == []


def test_a_full_disk_is_said_in_words_and_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OutputError, match="disk is full"):
        write(tmp_path / "a.mp4", [Fraction(0)])
    assert os.listdir(tmp_path) == []


def test_a_produced_video_says_that_it_is_generated(tmp_path: Path):
    write(tmp_path / "a.mp4", [Fraction(0)], metadata=marks("avfr-256"))
    with av.open(str(tmp_path / "a.mp4")) as file:
        assert "AI-generated" in file.metadata["comment"]
        assert DIGITAL_SOURCE_TYPE in file.metadata["comment"]


def test_pictures_come_upright_as_rgb(tmp_path: Path):
    from PIL import Image

    tall = flat(0, 40, 20)
    tall[:10] = (250, 0, 0)
    picture = Image.fromarray(tall).transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(tmp_path / "phone.jpg", exif=exif, quality=95)
    found = read_picture(tmp_path / "phone.jpg").pixels
    assert found.shape == (40, 20, 3)
    np.testing.assert_allclose(found[4, 10], (250, 0, 0), atol=12)
    Image.fromarray(np.full((8, 8), 40000, np.uint16)).save(tmp_path / "deep.png")
    assert abs(int(read_picture(tmp_path / "deep.png").pixels[0, 0, 0]) - 155) <= 1
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    assert (read_picture(tmp_path / "clear.png").pixels == 255).all()
    write_picture(tmp_path / "again.png", found)
    assert is_picture(tmp_path / "again.png")
    write_clip(tmp_path / "clip.mp4", 0.1, sound=False)
    assert not is_picture(tmp_path / "clip.mp4")


def test_frames_at_a_constant_rate_are_the_nearest():
    frames = [Frame(flat(value), Fraction(time, 1000)) for value, time in ((1, 0), (2, 90), (3, 130))]
    resampled = list(at_constant_rate(iter(frames), Fraction(25)))
    assert [int(frame.pixels[0, 0, 0]) for frame in resampled] == [1, 1, 2, 3]
    assert [frame.time for frame in resampled] == [Fraction(n, 25) for n in range(4)]


def test_the_drawn_voice_is_loud_when_the_mouth_is_open():
    face = TalkingFace(2)
    voice = face.sound(2.0)
    opened = np.array([face.pose(n / 25).mouth for n in range(50)])
    loud = np.array([np.abs(voice.samples[n * 640 : n * 640 + 640]).mean() for n in range(50)])
    assert np.corrcoef(opened, loud)[0, 1] > 0.8
    assert not np.array_equal(draw(64, seed=0), draw(64, seed=1))


def test_frames_are_read_as_they_are_asked_for(tmp_path: Path):
    """Memory does not grow with length: a long clip is not decoded ahead."""
    write(tmp_path / "long.mp4", [Fraction(n, 25) for n in range(1500)])
    with VideoReader(tmp_path / "long.mp4") as reader:
        frames = iter(reader)
        for _ in range(100):
            next(frames)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        assert sum(1 for _ in frames) == 1400
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000
