"""Colours, clocks and memory over long and unusual streams."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace

from visavis.drawn.synthetic import write_wave
from visavis.media.frame import Frame, Sound
from visavis.media.reader import SoundReader, VideoReader
from visavis.media.writer import VideoWriter

RED = (200, 40, 60)
RATE = 16000


def flat(colour: tuple[int, int, int], height: int = 64, width: int = 64) -> np.ndarray:
    return np.full((height, width, 3), colour, np.uint8)


def tagged(path: Path, space: Colorspace, tag: int, height: int = 64, spread: ColorRange = ColorRange.MPEG) -> None:
    """Write red in one of the ways of turning RGB into luma and chroma, and tag the file with ``tag``."""
    with av.open(str(path), "w") as file:
        video = file.add_stream("libx264", rate=25, options={"crf": "1"})
        video.width, video.height, video.pix_fmt = 64, height, "yuv420p"
        video.codec_context.colorspace, video.codec_context.color_range = tag, spread.value
        picture = av.VideoFrame.from_ndarray(flat(RED, height), format="rgb24")
        file.mux(video.encode(picture.reformat(format="yuv420p", dst_colorspace=space, dst_color_range=spread)))
        file.mux(video.encode(None))


@pytest.mark.parametrize(
    ("space", "tag", "height"),
    [
        (Colorspace.ITU709, 1, 64),
        (Colorspace.ITU601, 5, 64),
        (Colorspace.ITU601, 2, 64),  # untagged and small: as standard definition
        (Colorspace.ITU709, 2, 720),  # untagged and large: as high definition
    ],
)
def test_colours_come_in_as_they_are_tagged(space: Colorspace, tag: int, height: int, tmp_path: Path):
    tagged(tmp_path / "a.mp4", space, tag, height)
    with VideoReader(tmp_path / "a.mp4") as reader:
        np.testing.assert_allclose(next(iter(reader)).pixels[32, 32], RED, atol=5)


def test_full_range_is_not_stretched_again(tmp_path: Path):
    tagged(tmp_path / "a.mp4", Colorspace.ITU709, 1, spread=ColorRange.JPEG)
    with VideoReader(tmp_path / "a.mp4") as reader:
        np.testing.assert_allclose(next(iter(reader)).pixels[32, 32], RED, atol=5)


@pytest.mark.parametrize("colour", [RED, (0, 0, 0), (255, 255, 255), (20, 200, 30), (30, 40, 220)], ids=str)
def test_colours_go_out_as_they_came_and_say_how(colour: tuple[int, int, int], tmp_path: Path):
    with VideoWriter(tmp_path / "a.mp4", size=(64, 64), fps=Fraction(25)) as writer:
        writer.write(Frame(flat(colour), Fraction(0)))
    with VideoReader(tmp_path / "a.mp4") as reader:
        np.testing.assert_allclose(next(iter(reader)).pixels[32, 32], colour, atol=5)
    with av.open(str(tmp_path / "a.mp4")) as file:
        context = file.streams.video[0].codec_context
        assert (context.colorspace, context.color_primaries, context.color_trc, context.color_range) == (1, 1, 1, 1)


def test_a_video_that_begins_late_still_does(tmp_path: Path):
    times = [Fraction(n, 25) + Fraction(1, 2) for n in range(10)]
    write_wave(tmp_path / "voice.wav", Sound(np.full(RATE, 0.1, np.float32), RATE, Fraction(0)))
    with VideoWriter(tmp_path / "a.mp4", size=(64, 64), fps=Fraction(25), sound=tmp_path / "voice.wav") as writer:
        for time in times:
            writer.write(Frame(flat(RED), time))
    with VideoReader(tmp_path / "a.mp4") as reader:
        assert max(abs(f.time - t) for f, t in zip(reader, times, strict=True)) < Fraction(1, 90_000)
    with SoundReader(tmp_path / "a.mp4") as sound:
        assert next(iter(sound)).time < Fraction(1, 25)


CLICK_EVERY_S = 120


def clicks(path: Path, seconds: int) -> None:
    """Write silence with a click every two minutes, streamed; 8 kHz to stay small."""
    with av.open(str(path), "w") as file:
        stream = file.add_stream("pcm_s16le", rate=8000, layout="mono")
        for second in range(seconds):
            samples = np.zeros((1, 8000), np.int16)
            if second % CLICK_EVERY_S == 60:
                samples[0, :40] = 25000
            frame = av.AudioFrame.from_ndarray(samples, "s16", "mono")
            frame.sample_rate, frame.pts = 8000, second * 8000
            file.mux(stream.encode(frame))


@pytest.mark.slow
def test_sound_and_picture_stay_within_a_frame_for_an_hour(tmp_path: Path):
    """29.97 fps, one picture a second, a click every two minutes: each is found where it was put."""
    fps, seconds = Fraction(30000, 1001), 3600
    clicks(tmp_path / "clicks.wav", seconds)
    times = [round(second * fps) / fps for second in range(seconds)]
    with VideoWriter(tmp_path / "a.mp4", size=(16, 16), fps=fps, sound=tmp_path / "clicks.wav") as writer:
        for time in times:
            writer.write(Frame(flat(RED, 16, 16), time))
    with VideoReader(tmp_path / "a.mp4") as reader:
        assert max(abs(f.time - t) for f, t in zip(reader, times, strict=True)) < Fraction(1, 90_000)
    heard = []
    with SoundReader(tmp_path / "a.mp4", 8000) as sound:
        for chunk in sound:
            if chunk.samples.max(initial=0) > 0.3:
                heard.append(float(chunk.time) + int(chunk.samples.argmax()) / 8000)
    first = [time for time, before in zip(heard, [-9.0, *heard], strict=False) if time - before > 1]
    np.testing.assert_allclose(first, np.arange(60, seconds, CLICK_EVERY_S), atol=float(1 / fps) / 2)
    assert _end(tmp_path / "a.mp4") == pytest.approx(float(times[-1]) + 1, abs=float(1 / fps))


def _end(path: Path) -> float:
    with SoundReader(path) as sound:
        last = None
        for chunk in sound:
            last = chunk
    assert last is not None
    return float(last.time) + len(last.samples) / last.rate_hz


def test_a_voice_stays_where_it_was_to_the_millisecond(tmp_path: Path):
    """AAC begins with a priming block; it must not shift what follows."""
    samples = np.zeros(3 * RATE, np.float32)
    samples[RATE : RATE + 8] = 0.9
    write_wave(tmp_path / "click.wav", Sound(samples, RATE, Fraction(0)))
    with VideoWriter(tmp_path / "a.mp4", size=(64, 64), fps=Fraction(25), sound=tmp_path / "click.wav") as writer:
        for number in range(75):
            writer.write(Frame(flat(RED), Fraction(number, 25)))
    with SoundReader(tmp_path / "a.mp4") as sound:
        chunks = list(sound)
    heard = np.concatenate([chunk.samples for chunk in chunks])
    assert float(chunks[0].time) + np.abs(heard).argmax() / RATE == pytest.approx(1.0, abs=0.002)


def peak_growth(path: Path, seconds: int) -> int:
    """Write and read a clip of noise with sound; return by how many kB the process's peak memory grew."""

    def frames() -> Iterator[Frame]:
        picture = np.random.default_rng(0).integers(0, 255, (128, 128, 3), np.uint8)
        for number in range(25 * seconds):
            yield Frame(np.roll(picture, number, 1), Fraction(number, 25))

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    voice = path.with_suffix(".wav")
    clicks(voice, seconds)
    with VideoWriter(path, size=(128, 128), fps=Fraction(25), sound=voice) as writer:
        for frame in frames():
            writer.write(frame)
    with VideoReader(path) as pictures, SoundReader(path) as sound:
        assert sum(1 for _ in pictures) == 25 * seconds
        assert sum(len(chunk.samples) for chunk in sound) == pytest.approx(RATE * seconds, abs=1500)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before


def test_memory_does_not_grow_with_length(tmp_path: Path):
    """The long clip, held whole, would take 60 MB."""
    peak_growth(tmp_path / "short.mp4", 4)
    assert peak_growth(tmp_path / "long.mp4", 50) < 15_000


@pytest.mark.slow
def test_memory_after_ten_minutes_is_that_after_one(tmp_path: Path):
    peak_growth(tmp_path / "short.mp4", 60)
    assert peak_growth(tmp_path / "long.mp4", 600) < 50_000
