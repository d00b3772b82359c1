"""Pivot pictures as bytes: one AV1 intra frame, the best still codec at 1 to 4 kB (docs/measurements/pivot-codecs.md).

The bytes are two open bitstream units of AV1: the sequence header of a still picture, and its frame. AVIF's boxes
around them would cost 280 bytes more. Pictures are YCbCr 4:2:0 of ITU-R BT.601 in full range.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction

import av
import av.error
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation

from visavis.codec.svt_av1 import open_encoder
from visavis.core.errors import CodecError
from visavis.media.frame import Pixels

MOST_BYTES = 1 << 16
LEAST_SIDE, MOST_SIDE = 64, 1024
BEST_QUALITY = 62
_TRIES = 4
_GOOD_USE = 0.93
_QUALITIES_A_DOUBLING = 12.0  # of bytes, near 2 kB
_PRESET = "2"  # 65 ms for 256x256; preset 0 gains 0.2 dB for 200 ms, preset 4 loses 0.35 dB
_LAYOUTS = ("yuv420p", "yuvj420p")
_SEQUENCE_HEADER, _TEMPORAL_DELIMITER, _FRAME = 1, 2, 6


def encode_still(pixels: Pixels, quality: int) -> bytes:
    """Encode one picture.

    Args:
        pixels: RGB ``uint8 [H, W, 3]``; even sides of 64 to 1024.
        quality: 0 (about 0.2 kB for a 256x256 face) to 62 (19 kB); 18 gives 1.0 kB, 23 1.4 kB, 31 2.2 kB, 40 3.5 kB.
    """
    height, width = pixels.shape[:2]
    if any(side % 2 or not LEAST_SIDE <= side <= MOST_SIDE for side in (height, width)):
        raise ValueError(f"{width}x{height} cannot be a pivot; sides must be even and {LEAST_SIDE} to {MOST_SIDE}")
    if not 0 <= quality <= BEST_QUALITY:
        raise ValueError(f"quality {quality} is out of range; 0 to {BEST_QUALITY} are allowed")
    context = av.CodecContext.create("libsvtav1", "w")
    context.width, context.height, context.pix_fmt = width, height, "yuv420p"
    context.time_base, context.framerate = Fraction(1, 25), Fraction(25)
    context.color_range = ColorRange.JPEG
    context.options = {"preset": _PRESET, "crf": str(63 - quality), "svtav1-params": "avif=1:tune=1:lp=1"}
    picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24").reformat(
        format="yuv420p",
        dst_colorspace=Colorspace.ITU601,
        dst_color_range=ColorRange.JPEG,
        interpolation=Interpolation.LANCZOS,
    )
    picture.pts = 0
    open_encoder(context)
    stream = b"".join(bytes(packet) for packet in [*context.encode(picture), *context.encode(None)])
    return b"".join(unit for kind, _, unit in _units(stream) if kind != _TEMPORAL_DELIMITER)


def encode_within(pixels: Pixels, most_bytes: int, *, best: int = BEST_QUALITY) -> bytes:
    """Encode as well as ``most_bytes`` allow, but no better than ``best``; the coarsest if nothing fits.

    Bytes double with every few steps of quality, so that a handful of tries come near the bound.
    """
    low, high = 0, best + 1  # the first fits or is the last resort, the second does not fit or is out of range
    fitting: bytes | None = None
    guess = 31.0 + _QUALITIES_A_DOUBLING * math.log2(most_bytes / 2200)
    for _ in range(_TRIES):
        if high - low <= 1:
            break
        quality = min(max(round(guess), low + (fitting is not None)), high - 1)
        coded = encode_still(pixels, quality)
        if len(coded) <= most_bytes:
            low, fitting = quality, coded
            if len(coded) >= _GOOD_USE * most_bytes:
                break
        else:
            high = quality
        # Aims a little below the bound: a try that does not fit is lost.
        guess = quality + _QUALITIES_A_DOUBLING * math.log2(0.98 * most_bytes / len(coded))
    return encode_still(pixels, 0) if fitting is None else fitting


def decode_still(data: bytes) -> Pixels:
    """Decode what :func:`encode_still` made into RGB ``uint8 [H, W, 3]``.

    Raises:
        CodecError: the bytes are not one such picture, are damaged, or claim more than the limits above.
    """
    still_size(data)
    context = av.CodecContext.create("libdav1d", "r")
    context.thread_count = 1
    context.options = {"max_pixels": str(MOST_SIDE * MOST_SIDE), "filmgrain": "0"}
    try:
        pictures = [*context.decode(av.Packet(data)), *context.decode(None)]
        if len(pictures) != 1 or pictures[0].format.name not in _LAYOUTS:
            raise CodecError("a pivot picture's bytes hold no 4:2:0 picture of 8 bits")
        rgb = pictures[0].reformat(
            format="rgb24", src_colorspace=Colorspace.ITU601, interpolation=Interpolation.LANCZOS
        )
        return np.ascontiguousarray(rgb.to_ndarray())
    except (av.error.FFmpegError, ValueError) as error:
        raise CodecError("a pivot picture's bytes are damaged") from error


def still_size(data: bytes) -> tuple[int, int]:
    """``(height, width)`` as the header says, within the limits; nothing is decoded.

    Raises:
        CodecError: as :func:`decode_still`.
    """
    if len(data) > MOST_BYTES:
        raise CodecError(f"a pivot picture has {len(data)} bytes; at most {MOST_BYTES} are allowed")
    units = list(_units(data))
    if [kind for kind, _, _ in units] != [_SEQUENCE_HEADER, _FRAME]:
        raise CodecError("a pivot picture must be an AV1 sequence header and one frame")
    # AV1 specification, 5.5.1: three bits of profile, still_picture, reduced_still_picture_header, five of level.
    head = units[0][1]
    bits = int.from_bytes(head, "big")
    left = 8 * len(head)

    def take(count: int) -> int:
        nonlocal left
        left -= count
        if left < 0:
            raise CodecError("a pivot picture's sequence header is cut short")
        return bits >> left & (1 << count) - 1

    take(3)
    if take(2) != 3:
        raise CodecError("a pivot picture must be an AV1 still picture")
    take(5)
    width_bits, height_bits = take(4) + 1, take(4) + 1
    width, height = take(width_bits) + 1, take(height_bits) + 1
    if max(width, height) > MOST_SIDE:
        raise CodecError(f"a pivot picture claims {width}x{height}; at most {MOST_SIDE} a side are allowed")
    return height, width


def _units(data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """``(type, payload, whole unit)`` of each open bitstream unit (AV1 specification, 5.3)."""
    at = 0
    while at < len(data):
        start, header = at, data[at]
        # Forbidden bit, extension and reserved bit are zero; the size is said.
        if header & 0x87 != 0x02:
            raise CodecError("a pivot picture holds no AV1 units of the form that is allowed")
        size, at = _size(data, at + 1)
        if at + size > len(data):
            raise CodecError("a pivot picture is cut short")
        yield header >> 3 & 15, data[at : at + size], data[start : at + size]
        at += size


def _size(data: bytes, at: int) -> tuple[int, int]:
    """A size in seven-bit digits, least first (AV1 specification, 4.10.5), and where it ends."""
    size = 0
    for digit, byte in enumerate(data[at : at + 4]):
        size |= (byte & 0x7F) << 7 * digit
        if not byte & 0x80:
            return size, at + digit + 1
    raise CodecError("a pivot picture's unit has no size")
