"""Pivot pictures: what is encoded comes back, small, and hostile bytes are refused in words."""

from __future__ import annotations

import io
import os

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio

from visavis.codec.stills import BEST_QUALITY, MOST_BYTES, decode_still, encode_still, encode_within, still_size
from visavis.core.errors import CodecError
from visavis.drawn.synthetic import draw

FACE = draw(256, seed=0)
GOOD = encode_still(FACE, 20)


def fidelity(quality: int) -> float:
    """PSNR of the drawn face, by scikit-image."""
    return float(peak_signal_noise_ratio(FACE, decode_still(encode_still(FACE, quality))))


@pytest.mark.skipif(not hasattr(os, "sched_getscheduler"), reason="only Linux has these policies")
def test_encoding_leaves_the_process_its_priority():
    """The encoder would make it a real-time process where root runs it, and the rest of the machine would wait."""
    policies = {os.sched_getscheduler(int(thread)) for thread in os.listdir("/proc/self/task")}
    assert encode_still(FACE, 20) == GOOD
    assert {os.sched_getscheduler(int(thread)) for thread in os.listdir("/proc/self/task")} == policies


def test_a_picture_comes_back_and_is_small():
    assert decode_still(GOOD).shape == FACE.shape
    assert len(GOOD) < 3000
    assert fidelity(20) > 30


def test_more_quality_is_more_bytes_and_less_error():
    assert len(encode_still(FACE, 10)) < len(GOOD) < len(encode_still(FACE, 40))
    assert fidelity(10) < fidelity(20) < fidelity(40) < fidelity(BEST_QUALITY)


@pytest.mark.parametrize("most_bytes", [700, 1500, 3000, 8000])
def test_a_picture_within_a_bound_uses_most_of_it(most_bytes: int):
    size = len(encode_within(FACE, most_bytes))
    assert 0.8 * most_bytes < size <= most_bytes


def test_no_bound_makes_a_picture_better_than_asked_for_or_impossible():
    assert len(encode_within(FACE, 60_000, best=20)) == len(GOOD)
    assert encode_within(FACE, 10) == encode_still(FACE, 0)


def test_it_beats_webp_at_the_same_size():
    quality = next(q for q in range(BEST_QUALITY, -1, -1) if len(encode_still(FACE, q)) <= len(webp()))
    other = np.asarray(Image.open(io.BytesIO(webp())).convert("RGB"))
    assert fidelity(quality) > peak_signal_noise_ratio(FACE, other)


def webp() -> bytes:
    file = io.BytesIO()
    Image.fromarray(FACE).save(file, "WEBP", quality=10, method=6)
    return file.getvalue()


def test_the_same_picture_gives_the_same_bytes():
    assert encode_still(FACE, 20) == GOOD


@pytest.mark.parametrize("size", [(64, 64), (256, 192), (130, 1024), (512, 512)])
def test_any_even_size_within_the_limits_is_kept(size: tuple[int, int]):
    grey = np.full((*size, 3), 90, np.uint8)
    data = encode_still(grey, 20)
    assert still_size(data) == size
    assert np.abs(decode_still(data).astype(int) - 90).max() <= 2


@pytest.mark.parametrize("size", [(62, 64), (65, 64), (64, 1026)])
def test_other_sizes_are_refused(size: tuple[int, int]):
    with pytest.raises(ValueError, match="sides must be even"):
        encode_still(np.zeros((*size, 3), np.uint8), 20)


@pytest.mark.parametrize("quality", [-1, BEST_QUALITY + 1])
def test_a_quality_out_of_range_is_refused(quality: int):
    with pytest.raises(ValueError, match="out of range"):
        encode_still(FACE, quality)


def test_colours_keep_their_places():
    colours = np.zeros((64, 128, 3), np.uint8)
    colours[:, :64], colours[:, 64:] = (200, 40, 30), (20, 60, 210)
    back = decode_still(encode_still(colours, 50)).astype(int)
    assert np.abs(back[8:56, 8:56] - (200, 40, 30)).max() < 8
    assert np.abs(back[8:56, 72:120] - (20, 60, 210)).max() < 8


def test_a_header_that_claims_too_much_is_refused_before_decoding():
    # Type 1 with a size; profile 0, still, reduced, level 0, 16-bit sides of 65536 each.
    claims = bytes([0x0A, 7]) + (0b000_11_00000_1111_1111 << 38 | (1 << 32) - 1 << 6).to_bytes(7, "big")
    with pytest.raises(CodecError, match="65536x65536"):
        decode_still(claims + bytes([0x32, 1, 0]))


def test_moving_pictures_are_refused():
    """A short packet may hold thousands of frames; a pivot is one."""
    units = GOOD.index(b"\x32")
    with pytest.raises(CodecError, match="one frame"):
        decode_still(GOOD + GOOD[units:])
    moving = bytearray(GOOD)
    moving[2] &= ~0x18
    with pytest.raises(CodecError, match="still picture"):
        decode_still(bytes(moving))


def test_more_than_the_allowed_bytes_are_refused():
    with pytest.raises(CodecError, match="at most"):
        decode_still(bytes(MOST_BYTES + 1))


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_picture_or_a_codec_error(data: bytes):
    refused_or_picture(data)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, len(GOOD) - 1), st.binary(min_size=1, max_size=40), st.integers(0, len(GOOD)))
def test_a_damaged_picture_is_a_picture_or_a_codec_error(at: int, damage: bytes, end: int):
    refused_or_picture((GOOD[:at] + damage + GOOD[at + len(damage) :])[: max(end, at + len(damage))])
    refused_or_picture(GOOD[:end])


def refused_or_picture(data: bytes) -> None:
    try:
        picture = decode_still(data)
    except CodecError as error:
        assert "\n" not in str(error)
    else:
        assert picture.dtype == np.uint8 and picture.ndim == 3


def test_other_decoders_read_it():
    """The bytes are plain AV1: FFmpeg's own parser finds the same size."""
    parser = av.CodecContext.create("libdav1d", "r")
    picture = [*parser.decode(av.Packet(b"\x12\x00" + GOOD)), *parser.decode(None)][0]
    assert (picture.height, picture.width) == still_size(GOOD)
