"""Every frame of a video comes upright, whole and at one size, as a player shows it."""

from __future__ import annotations

import struct
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition
from numpy.typing import NDArray

from visavis.media.deinterlace import combed
from visavis.media.frame import Frame, Pixels
from visavis.media.geometry import fitted
from visavis.media.reader import SoundReader, VideoReader, probe
from visavis.media.writer import VideoWriter


def corners(height: int, width: int) -> Pixels:
    """Red at the top left, green at the top right, blue at the bottom left, grey at the bottom right."""
    picture = np.full((height, width, 3), 120, np.uint8)
    picture[: height // 2, : width // 2] = (220, 20, 20)
    picture[: height // 2, width // 2 :] = (20, 200, 20)
    picture[height // 2 :, : width // 2] = (20, 20, 220)
    return picture


def colour_at(pixels: Pixels, y: float, x: float) -> str:
    red, green, blue = pixels[int(y * len(pixels)), int(x * pixels.shape[1])].astype(int)
    if max(red, green, blue) < 40:
        return "black"
    if abs(red - green) < 30 and abs(green - blue) < 30:
        return "grey"
    return "rgb"[int(np.argmax([red, green, blue]))]


def quarters(pixels: Pixels) -> str:
    return "".join(colour_at(pixels, y, x)[0] for y in (0.25, 0.75) for x in (0.25, 0.75))


def changing(path: Path, sizes: list[tuple[int, int]], codec: str = "libvpx") -> None:
    """One stream whose pictures change their size every five frames, as a call's recording does."""
    with av.open(str(path), "w") as file:
        video = file.add_stream(codec, rate=25)
        video.height, video.width, video.pix_fmt = *sizes[0], "yuv420p"
        for number, (height, width) in enumerate(sizes):
            coder = av.CodecContext.create(codec, "w")
            coder.height, coder.width, coder.pix_fmt = height, width, "yuv420p"  # type: ignore[attr-defined]
            coder.time_base = Fraction(1, 25)  # type: ignore[attr-defined]
            coder.framerate = Fraction(25)  # type: ignore[attr-defined]
            packets = []
            for index in range(5):
                frame = av.VideoFrame.from_ndarray(corners(height, width), format="rgb24")
                frame.pts, frame.time_base = number * 5 + index, Fraction(1, 25)
                packets += coder.encode(frame)  # type: ignore[attr-defined]
            for packet in [*packets, *coder.encode(None)]:  # type: ignore[attr-defined]
                packet.stream = video
                file.mux(packet)


@pytest.mark.parametrize(
    ("sizes", "blacks"),
    [
        ([(128, 128), (64, 64), (32, 32)], ["", "", ""]),
        ([(64, 64), (128, 128)], ["", ""]),
        ([(64, 128), (128, 64), (64, 128)], ["", "sides", ""]),  # a phone that is turned
        ([(128, 64), (64, 128)], ["", "above"]),
    ],
    ids=str,
)
def test_frames_keep_the_size_of_the_first(sizes: list[tuple[int, int]], blacks: list[str], tmp_path: Path):
    """What is smaller fills the frame again, what has another shape stands in its middle on black."""
    changing(tmp_path / "a.webm", sizes)
    with VideoReader(tmp_path / "a.webm") as reader:
        frames = list(reader)
        assert (reader.info.height, reader.info.width) == sizes[0]
    assert [frame.time for frame in frames] == [Fraction(n, 25) for n in range(5 * len(sizes))]
    for number, frame in enumerate(frames):
        pixels, black = frame.pixels, blacks[number // 5]
        assert pixels.shape == (*sizes[0], 3)
        assert (colour_at(pixels, 0.45, 0.05) == "black") == (black == "sides")
        assert (colour_at(pixels, 0.05, 0.45) == "black") == (black == "above")
        inner = {"sides": (slice(None), slice(52, 76)), "above": (slice(52, 76), slice(None)), "": ...}[black]
        assert quarters(pixels[inner]) == "rgbg"  # type: ignore[index]


def test_a_picture_is_fitted_in_its_own_shape_and_in_the_middle():
    white = np.full((30, 40, 3), 255, np.uint8)
    inside = fitted(white, 120, 120)
    assert (inside[15:105] == 255).all() and not inside[:15].any() and not inside[105:].any()
    assert fitted(white, 30, 40) is white
    assert fitted(white, 1, 1).shape == (1, 1, 3)


def test_a_pixel_shape_that_changes_is_followed(tmp_path: Path):
    """Of two broadcasts in one file, the second wide: its head is not narrow."""
    for number, shape in enumerate((Fraction(1), Fraction(2))):
        with av.open(str(tmp_path / f"{number}.ts"), "w") as file:
            video = file.add_stream("libx264", rate=25)
            video.width, video.height, video.pix_fmt = (128, 64, "yuv420p") if number == 0 else (64, 64, "yuv420p")
            video.codec_context.sample_aspect_ratio = shape
            for _ in range(5):
                picture = corners(64, video.width)
                file.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            file.mux(video.encode(None))
    both = tmp_path / "both.ts"
    both.write_bytes((tmp_path / "0.ts").read_bytes() + (tmp_path / "1.ts").read_bytes())
    with VideoReader(both) as reader:
        frames = list(reader)
    assert len(frames) == 10
    for frame in frames:
        assert frame.pixels.shape == (64, 128, 3)
        assert [colour_at(frame.pixels, 0.25, x) for x in (0.05, 0.95)] == ["r", "g"]


ONE = 1 << 16
#: (a, b, c, d) of the matrix, the size of a picture of 64x128 that is held so, and where its four quarters go.
HELD = {
    "as it is": ((ONE, 0, 0, ONE), (64, 128), "rgbg"),
    "mirrored": ((-ONE, 0, 0, ONE), (64, 128), "grgb"),
    "upside down and mirrored": ((ONE, 0, 0, -ONE), (64, 128), "bgrg"),
    "half a turn": ((-ONE, 0, 0, -ONE), (64, 128), "gbgr"),
    "a quarter": ((0, ONE, -ONE, 0), (128, 64), "brgg"),
    "three quarters": ((0, -ONE, ONE, 0), (128, 64), "ggrb"),
    "swapped": ((0, ONE, ONE, 0), (128, 64), "rbgg"),
    "swapped the other way": ((0, -ONE, -ONE, 0), (128, 64), "ggbr"),
}


@pytest.mark.parametrize("name", HELD)
def test_a_display_matrix_turns_and_mirrors(name: str, tmp_path: Path):
    """By the definition: (x, y) of the stored picture is shown at (a x + c y, b x + d y)."""
    (a, b, c, d), size, places = HELD[name]
    path = tmp_path / "a.mp4"
    with VideoWriter(path, size=(64, 128), fps=Fraction(25)) as writer:
        for number in range(3):
            writer.write(Frame(corners(64, 128), Fraction(number, 25)))
    data = bytearray(path.read_bytes())
    struct.pack_into(">9i", data, data.index(b"tkhd") + 44, a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    with VideoReader(path) as reader:
        frame = next(iter(reader))
        assert (reader.info.height, reader.info.width) == size
    assert frame.pixels.shape == (*size, 3) and frame.pixels.flags.c_contiguous
    # Green and grey both begin with g: told apart by where they cannot be.
    assert quarters(frame.pixels) == places
    stored = {"r": (0.25, 0.25), "b": (0.75, 0.25)}
    for colour, (y, x) in stored.items():
        shown_x, shown_y = a * (x - 0.5) + c * (y - 0.5), b * (x - 0.5) + d * (y - 0.5)
        assert colour_at(frame.pixels, 0.5 + shown_y / ONE, 0.5 + shown_x / ONE) == colour


def moving_bar(moment: int) -> NDArray[np.uint8]:
    picture = np.full((128, 128), 40, np.uint8)
    picture[:, 20 + 3 * moment : 50 + 3 * moment] = 210
    return picture


def interlaced(path: Path, *, marked: bool) -> None:
    """A bar that moves by three pixels from field to field."""
    options = {"flags": "+ildct+ilme", "top": "1"} if marked else {"crf": "4"}
    with av.open(str(path), "w") as file:
        video = file.add_stream("mpeg2video" if marked else "libx264", rate=25, options=options)
        video.width = video.height = 128
        video.pix_fmt = "yuv420p"
        video.bit_rate = 4_000_000
        for number in range(10):
            woven = moving_bar(2 * number)
            woven[1::2] = moving_bar(2 * number + 1)[1::2]
            frame = av.VideoFrame.from_ndarray(np.repeat(woven[..., None], 3, 2), format="rgb24").reformat(
                format="yuv420p"
            )
            file.mux(video.encode(frame))
        file.mux(video.encode(None))


@pytest.mark.parametrize("marked", [True, False], ids=["marked", "combed"])
def test_interlaced_pictures_become_pictures_of_one_moment(marked: bool, tmp_path: Path):
    path = tmp_path / ("a.mpg" if marked else "a.mp4")
    interlaced(path, marked=marked)
    with VideoReader(path) as reader:
        frames = list(reader)
        assert reader.damaged == 0
    assert len(frames) == 10
    assert [float(b.time - a.time) for a, b in pairwise(frames)] == pytest.approx([0.04] * 9)
    for number, frame in enumerate(frames):
        luma = frame.pixels[8:-8, :, 1].astype(int)
        teeth = np.abs(luma[1:-1] - (luma[:-2] + luma[2:]) / 2)
        assert (teeth > 60).mean() < 0.004
        assert luma.max() > 180 > 70 > luma.min()
        left = int(np.argmax(luma.mean(0) > 120))
        assert left == pytest.approx(20 + 6 * number, abs=3)


def test_stripes_and_sharp_motion_are_no_combs():
    stripes = np.zeros((64, 32), np.int16)
    stripes[::2] = 200
    assert not combed(stripes, stripes)
    bar, after = np.full((64, 32), 30, np.int16), np.full((64, 32), 30, np.int16)
    bar[:, 4:12], after[:, 8:16] = 220, 220
    assert not combed(bar, after)
    woven = bar.copy()
    woven[1::2] = after[1::2]
    assert combed(bar, woven)


def two_of_each(path: Path, default: int) -> None:
    """A first film and sound, and second ones; one of each is the default."""
    with av.open(str(path), "w") as file:
        films = [file.add_stream("libx264", rate=25) for _ in range(2)]
        sounds = [file.add_stream("aac", rate=48_000, layout="mono") for _ in range(2)]
        for number, (film, sound) in enumerate(zip(films, sounds, strict=True)):
            film.width = film.height = 64
            film.pix_fmt = "yuv420p"
            film.disposition = sound.disposition = Disposition.default if number == default else Disposition(0)
        for number, (film, sound) in enumerate(zip(films, sounds, strict=True)):
            picture = np.full((64, 64, 3), (60, 200)[number], np.uint8)
            for _ in range(10):
                file.mux(film.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            tone = np.full((1, 19_200), (0.0, 0.5)[number], np.float32)
            tone *= np.sin(0.1 * np.arange(19_200, dtype=np.float32))
            block = av.AudioFrame.from_ndarray(tone, "fltp", "mono")
            block.sample_rate, block.pts = 48_000, 0
            file.mux(sound.encode(block))
        for stream in (*films, *sounds):
            file.mux(stream.encode(None))


@pytest.mark.parametrize("default", [0, 1])
def test_of_several_streams_the_default_is_taken(default: int, tmp_path: Path):
    path = tmp_path / "a.mkv"
    two_of_each(path, default)
    with VideoReader(path) as reader:
        assert next(iter(reader)).pixels.mean() == pytest.approx((60, 200)[default], abs=5)
    with SoundReader(path) as sound:
        loudest = max(float(np.abs(chunk.samples).max()) for chunk in sound)
    assert (loudest > 0.3) == (default == 1)


def test_without_a_default_the_larger_film_is_taken(tmp_path: Path):
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as file:
        films = [file.add_stream("libx264", rate=25) for _ in range(2)]
        for film, side in zip(films, (32, 96), strict=True):
            film.width = film.height = side
            film.pix_fmt, film.disposition = "yuv420p", Disposition(0)
        for film, side in zip(films, (32, 96), strict=True):
            file.mux(film.encode(av.VideoFrame.from_ndarray(corners(side, side), format="rgb24")))
            file.mux(film.encode(None))
    assert probe(path).width == 96


def smooth(seed: int, height: int, width: int) -> Pixels:
    import cv2

    spots = np.random.default_rng(seed).integers(20, 236, (8, 8, 3)).astype(np.uint8)
    return np.asarray(cv2.resize(spots, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


@pytest.mark.parametrize("size", [(256, 256), (720, 96), (255, 257)], ids=str)
def test_writing_and_reading_a_picture_moves_no_colour(size: tuple[int, int], tmp_path: Path):
    """On the mean, by 0.3 of 255 levels, through a coder that loses little; a detail by little more than rounding."""
    pixels = smooth(1, *size)
    with VideoWriter(tmp_path / "a.mp4", size=size, fps=Fraction(25)) as writer:
        for number in range(2):
            writer.write(Frame(pixels, Fraction(number, 25)))
    with VideoReader(tmp_path / "a.mp4") as reader:
        back = next(iter(reader)).pixels[: size[0], : size[1]]
    difference = back.astype(float) - pixels
    assert np.abs(difference.mean((0, 1))).max() < 0.3
    assert np.abs(difference).mean() < 2.5


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuvj420p"])
def test_reading_moves_no_colour_in_any_format(pix_fmt: str, tmp_path: Path):
    """Lossless coding of codes computed by hand in floating point, BT.601."""
    height, width = 96, 128
    pixels = smooth(2, height, width)
    full = pix_fmt == "yuvj420p"
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as file:
        video = file.add_stream("ffv1", rate=25)
        video.height, video.width, video.pix_fmt = height, width, pix_fmt.replace("j", "")
        video.codec_context.color_range = 2 if full else 1
        video.codec_context.colorspace = 5
        frame = av.VideoFrame(width, height, video.pix_fmt)
        for plane, values in zip(frame.planes, codes(pixels, pix_fmt), strict=True):
            kind = np.uint16 if pix_fmt.endswith("le") else np.uint8
            rows = np.frombuffer(plane, kind).reshape(plane.height, -1)
            rows[:, : plane.width] = np.rint(values).astype(kind)
        frame.colorspace, frame.color_range = video.codec_context.colorspace, video.codec_context.color_range
        file.mux(video.encode(frame))
        file.mux(video.encode(None))
    with VideoReader(path) as reader:
        difference = next(iter(reader)).pixels.astype(float) - pixels
    assert np.abs(difference.mean((0, 1))).max() < 0.3
    assert np.abs(difference).mean() < 1.0


def codes(pixels: Pixels, pix_fmt: str) -> list[NDArray[np.float64]]:
    red, green, blue = (pixels[..., n].astype(float) for n in range(3))
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    chroma = [(blue - luma) / 1.772, (red - luma) / 1.402]
    if pix_fmt != "yuvj420p":
        luma, chroma = 16 + luma * 219 / 255, [plane * 224 / 255 for plane in chroma]
    down, across = {"420": (2, 2), "422": (1, 2), "444": (1, 1)}[next(s for s in ("420", "422", "444") if s in pix_fmt)]
    height, width = luma.shape
    chroma = [p.reshape(height // down, down, width // across, across).mean((1, 3)) + 128 for p in chroma]
    scale = 4 if pix_fmt.endswith("le") else 1
    return [scale * plane for plane in (luma, *chroma)]
