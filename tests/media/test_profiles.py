"""Pictures whose colours are told in a space of their own are read as what they show."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

from visavis.drawn.synthetic import draw
from visavis.media.still import read_picture

Matrix = tuple[tuple[float, float, float], ...]

#: Red, green and blue in CIE XYZ under D50 (the standards' primaries, adapted as ICC asks), and the exponent.
SPACES: dict[str, tuple[Matrix, float]] = {
    "display p3": (((0.5151, 0.2412, -0.0011), (0.2920, 0.6922, 0.0419), (0.1571, 0.0666, 0.7841)), 2.2),
    "adobe rgb": (((0.6097, 0.3111, 0.0195), (0.2053, 0.6257, 0.0609), (0.1492, 0.0632, 0.7446)), 2.19921875),
    "prophoto": (((0.7977, 0.2880, 0.0), (0.1352, 0.7119, 0.0001), (0.0313, 0.0001, 0.8249)), 1.8),
}
SRGB: Matrix = ((0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141))


def fixed(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))


def profile(matrix: Matrix, exponent: float) -> bytes:
    """An ICC profile, version 2, of three primaries and one exponent."""
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + bytes(78),
        b"cprt": b"text\0\0\0\0none",
        b"wtpt": b"XYZ \0\0\0\0" + fixed(0.9642) + fixed(1) + fixed(0.8249),
    }
    for name, primary in zip((b"r", b"g", b"b"), matrix, strict=True):
        tags[name + b"XYZ"] = b"XYZ \0\0\0\0" + b"".join(fixed(value) for value in primary)
        tags[name + b"TRC"] = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(exponent * 256))
    table, body, offset = b"", b"", 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        data += bytes(-len(data) % 4)
        table += name + struct.pack(">II", offset + len(body), len(data))
        body += data
    head = struct.pack(">I4sI12s12s4s", offset + len(body), b"test", 0x02400000, b"mntrRGB XYZ ", bytes(12), b"acsp")
    head = (head + bytes(28) + fixed(0.9642) + fixed(1) + fixed(0.8249)).ljust(128, b"\0")
    return head + struct.pack(">I", len(tags)) + table + body


def told_in(pixels: NDArray[np.uint8], matrix: Matrix, exponent: float) -> NDArray[np.uint8]:
    """The same colours in another space, by the formulas: sRGB to light, to XYZ, to light there, to codes there."""
    codes = pixels / 255
    light = np.where(codes <= 0.04045, codes / 12.92, ((codes + 0.055) / 1.055) ** 2.4)
    there = light @ np.array(SRGB) @ np.linalg.inv(np.array(matrix))
    return np.rint(255 * np.clip(there, 0, 1) ** (1 / exponent)).astype(np.uint8)


@pytest.mark.parametrize("kind", ["png", "jpg", "webp", "tiff"])
@pytest.mark.parametrize("space", SPACES)
def test_colours_come_out_as_they_are_meant(space: str, kind: str, tmp_path: Path):
    face = draw(128, seed=3)
    matrix, exponent = SPACES[space]
    stored = told_in(face, matrix, exponent)
    assert np.abs(stored.astype(float) - face).mean() > 2  # else nothing would be shown
    options = {"png": {}, "tiff": {}, "jpg": {"quality": 98, "subsampling": 0}, "webp": {"lossless": True}}[kind]
    icc = profile(matrix, exponent)
    Image.fromarray(stored).save(tmp_path / f"a.{kind}", icc_profile=icc, **options)  # type: ignore[arg-type]
    difference = read_picture(tmp_path / f"a.{kind}").pixels.astype(float) - face
    assert np.abs(difference.mean((0, 1))).max() < 0.5
    assert np.abs(difference).mean() < 1.5


def test_transparency_and_turning_go_along(tmp_path: Path):
    matrix, exponent = SPACES["display p3"]
    face = draw(64, seed=1)
    layers = np.dstack([told_in(face, matrix, exponent), np.full((64, 64), 255, np.uint8)])
    layers[:8, :, 3] = 0
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.fromarray(layers).save(tmp_path / "a.png", icc_profile=profile(matrix, exponent), exif=exif)
    found = read_picture(tmp_path / "a.png").pixels[::-1, ::-1].astype(float)
    assert (found[:8] == 255).all()
    assert np.abs(found[8:] - face[8:]).mean() < 1.5


def test_grey_and_print_colours_go_through_their_profiles(tmp_path: Path):
    grey = np.tile(np.arange(256, dtype=np.uint8), (8, 1))
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(grey).save(tmp_path / "mixed.png", icc_profile=srgb)  # a profile of other channels says nothing
    assert (read_picture(tmp_path / "mixed.png").pixels[..., 0] == grey).all()
    Image.fromarray(np.zeros((8, 8, 4), np.uint8), "CMYK").save(tmp_path / "white.jpg")
    assert read_picture(tmp_path / "white.jpg").pixels.min() > 250


def test_a_damaged_profile_is_passed_over(tmp_path: Path):
    face = draw(64, seed=1)
    good = profile(*SPACES["display p3"])
    for damaged in (b"nothing", good[:200], good[:128] + bytes(len(good) - 128)):
        Image.fromarray(face).save(tmp_path / "a.png", icc_profile=damaged)
        assert (read_picture(tmp_path / "a.png").pixels == face).all()
    buffer = io.BytesIO()
    Image.fromarray(face).save(buffer, "PNG")
    (tmp_path / "b.png").write_bytes(buffer.getvalue())
    assert (read_picture(tmp_path / "b.png").pixels == face).all()
