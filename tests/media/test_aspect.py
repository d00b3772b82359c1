"""Pictures as they are meant to be seen: pixels that are not square, high dynamic range, still formats of phones."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace
from numpy.typing import NDArray
from PIL import Image, features

from made import run
from visavis.core.errors import MediaError
from visavis.media.hdr import HLG, PQ, tone_map
from visavis.media.reader import VideoReader, probe
from visavis.media.still import is_picture, read_picture

_BT2020 = 9


def squeezed(path: Path, shape: Fraction, width: int, height: int, turn: int = 0) -> None:
    """A white disc that is round when it is shown with pixels of that shape."""
    y, x = np.mgrid[:height, :width] + 0.5
    disc = ((x - width / 2) * float(shape)) ** 2 + (y - height / 2) ** 2 < (height / 4) ** 2
    pixels = np.repeat((disc * 255).astype(np.uint8)[..., None], 3, 2)
    with av.open(str(path), "w") as file:
        video = file.add_stream("libx264", rate=25, options={"crf": "1"})
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        video.codec_context.sample_aspect_ratio = shape
        if turn:
            video.set_display_rotation(turn)
        for _ in range(2):
            file.mux(video.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        file.mux(video.encode(None))


@pytest.mark.parametrize(
    ("shape", "width", "height", "shown"),
    [
        (Fraction(16, 15), 180, 144, (144, 192)),
        (Fraction(8, 9), 180, 120, (120, 160)),
        (Fraction(2), 96, 120, (120, 192)),
        (Fraction(1), 96, 120, (120, 96)),
    ],
    ids=str,
)
def test_pixels_that_are_not_square_become_square(
    shape: Fraction, width: int, height: int, shown: tuple[int, int], tmp_path: Path
):
    """A disc is as wide as it is high."""
    squeezed(tmp_path / "a.mp4", shape, width, height)
    with VideoReader(tmp_path / "a.mp4") as reader:
        assert (reader.info.height, reader.info.width) == shown
        frames = list(reader)
    assert len(frames) == 2
    for frame in frames:
        assert frame.pixels.shape == (*shown, 3)
        assert frame.pixels.flags.c_contiguous
        light = frame.pixels[..., 0].astype(float) / 255
        assert light.max(0).sum() == pytest.approx(light.max(1).sum(), abs=2.5)
        assert light.max(1).sum() == pytest.approx(height / 2, abs=2.5)


def test_the_shape_of_pixels_is_applied_before_a_turn(tmp_path: Path):
    squeezed(tmp_path / "a.mp4", Fraction(2), 96, 120, turn=90)
    about = probe(tmp_path / "a.mp4")
    assert (about.height, about.width) == (192, 120)


def test_an_impossible_shape_of_pixels_is_ignored(tmp_path: Path):
    squeezed(tmp_path / "a.mp4", Fraction(100), 96, 120)
    assert probe(tmp_path / "a.mp4").width == 96


def bright(path: Path, signal: tuple[float, float, float], transfer: int) -> None:
    """A flat HDR clip, 10 bit, tagged as such."""
    pixels = np.full((64, 64, 3), np.round(np.array(signal) * 65535), np.uint16)
    with av.open(str(path), "w") as file:
        video = file.add_stream("libx264", rate=25, options={"crf": "1"})
        video.width, video.height, video.pix_fmt = 64, 64, "yuv420p10le"
        context = video.codec_context
        context.color_trc, context.colorspace, context.color_primaries, context.color_range = transfer, _BT2020, 9, 1
        picture = av.VideoFrame.from_ndarray(pixels, format="rgb48le")
        picture = picture.reformat(
            format="yuv420p10le", dst_colorspace=Colorspace.BT2020, dst_color_range=ColorRange.MPEG
        )
        file.mux(video.encode(picture))
        file.mux(video.encode(None))


#: Signals that BT.2408 gives for greys of 203 and 26 cd/m^2, and what they are by hand: light of 1.0 is over the knee,
#: 0.8 + 0.2 (1 - exp(-1)) = 0.926; light of 0.128 is kept. Both to the power 1 / 2.4.
GREYS = [(PQ, 0.581, 0.926), (PQ, 0.3800, 0.128), (HLG, 0.75, 0.926), (HLG, 0.3786, 0.128)]


@pytest.mark.parametrize(("transfer", "signal", "light"), GREYS)
def test_reference_white_and_mid_grey_come_out_as_computed_by_hand(
    transfer: int, signal: float, light: float, tmp_path: Path
):
    bright(tmp_path / "a.mp4", (signal,) * 3, transfer)
    with VideoReader(tmp_path / "a.mp4") as reader:
        assert reader.info.hdr
        np.testing.assert_allclose(next(iter(reader)).pixels[32, 32], 255 * light ** (1 / 2.4), atol=3)


def codes(*signals: tuple[float, float, float]) -> NDArray[np.uint16]:
    """A row of pixels."""
    return np.round(np.array([signals]) * 65535).astype(np.uint16)


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_brighter_light_is_never_darker_and_nothing_overflows(transfer: int):
    ramp = tone_map(codes(*[(x, x, x) for x in np.linspace(0, 1, 512)]), transfer)[0].astype(int)
    assert (np.diff(ramp, axis=0) >= 0).all()
    assert ramp[0].tolist() == [0, 0, 0]
    assert ramp[-1].min() >= 253
    assert np.ptp(ramp, axis=1).max() <= 1  # grey stays grey
    corners = [(r, g, b) for r in (0.0, 1.0) for g in (0.0, 1.0) for b in (0.0, 1.0)]
    assert tone_map(codes(*corners), transfer).shape == (1, 8, 3)


def test_ordinary_video_is_not_touched(tmp_path: Path):
    squeezed(tmp_path / "a.mp4", Fraction(1), 64, 64)
    assert not probe(tmp_path / "a.mp4").hdr


@pytest.mark.parametrize("brands", [b"heic\0\0\0\0mif1heic", b"mif1\0\0\0\0mif1heic", b"heix\0\0\0\0mif1miaf"])
def test_heic_is_refused_in_one_line(brands: bytes, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    path = tmp_path / "photo.heic"
    path.write_bytes((8 + len(brands)).to_bytes(4, "big") + b"ftyp" + brands + bytes(200))
    with pytest.raises(MediaError, match="HEIC"):
        read_picture(path)
    assert run(["reenact", path, path, "-o", tmp_path / "out.mp4"]) == 1
    printed = capfd.readouterr()
    assert "HEIC" in printed.err and printed.err.count("\n") == 1


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
def test_avif_is_read_as_a_picture(tmp_path: Path):
    Image.new("RGB", (64, 48), (200, 40, 60)).save(tmp_path / "a.avif", quality=95)
    assert is_picture(tmp_path / "a.avif")
    pixels = read_picture(tmp_path / "a.avif").pixels
    assert pixels.shape == (48, 64, 3)
    np.testing.assert_allclose(pixels[24, 32], (200, 40, 60), atol=4)
