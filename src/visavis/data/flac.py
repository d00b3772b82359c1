"""Decodes FLAC (RFC 9639) of one channel and 16 bits with NumPy alone: training machines have nothing that does.

Only what a shard's sound is made of is read: one channel, blocks of one size. Nothing in the file is trusted: how many
samples there may be is compared before any is unpacked, and in the end their checksum is compared with the file's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from visavis.core.errors import DataError

_BITS = 16
_LEAST_BLOCK, _MOST_BLOCK = 192, 16_384  # samples; the most that a stream may have in its streamable subset
_MOST_ORDER = 32
_HEADER_BYTES = 34
_SYNC = 0b11111111_11111000  # with blocks of one size
#: Prediction from the samples before, the last one last, by polynomials of degree -1 to 3.
_FIXED: tuple[tuple[int, ...], ...] = ((), (1,), (-1, 2), (1, -3, 3), (-1, 4, -6, 4))


@dataclass(frozen=True)
class _About:
    """What a file says of itself."""

    block: int
    rate_hz: int
    samples: int
    md5: bytes


@dataclass(frozen=True)
class _Block:
    """One block before its prediction is added.

    Attributes:
        weights: of the samples before, the last one last.
        shift: bits by which the weighted sum is shifted down.
        wasted: bits by which all samples are shifted up.
        values: ``int64 [N]``: as many samples as there are weights, then what the prediction misses.
    """

    weights: Sequence[int]
    shift: int
    wasted: int
    values: NDArray[np.int64]


def decode(data: bytes, rate_hz: int, most_samples: int) -> NDArray[np.int16]:
    """Decode a FLAC file.

    Args:
        data: the file.
        rate_hz: that it must have.
        most_samples: how many it may have.

    Returns:
        ``int16 [N]``.

    Raises:
        DataError: it is damaged, or of another form.
    """
    about, begin = _header(data)
    if about.rate_hz != rate_hz:
        raise DataError(f"sound of {about.rate_hz} Hz, where {rate_hz} Hz are needed")
    if not 0 < about.samples <= most_samples:
        raise DataError(f"sound of {about.samples} samples, where 1 to {most_samples} are allowed")
    bits = _Bits(data[begin:])
    blocks = []
    for number, first in enumerate(range(0, about.samples, about.block)):
        blocks.append(_frame(bits, about, number, min(about.block, about.samples - first)))
    samples = _predicted(blocks, about.block).T.reshape(-1)[: about.samples]
    if samples.min() < -(1 << 15) or samples.max() >= 1 << 15:
        raise DataError("damaged sound (samples beyond 16 bits)")
    out = samples.astype("<i2")
    if any(about.md5) and hashlib.md5(out.tobytes(), usedforsecurity=False).digest() != about.md5:
        raise DataError("damaged sound (its checksum is another)")
    return out.astype(np.int16, copy=False)


def _header(data: bytes) -> tuple[_About, int]:
    """What the file says of itself, and where its first frame begins."""
    if data[:4] != b"fLaC" or data[4:5] not in (b"\x00", b"\x80") or len(data) < 8 + _HEADER_BYTES:
        raise DataError("damaged sound (not FLAC)")
    at, last = 4, False
    while not last:
        if at + 4 > len(data):
            raise DataError("damaged sound (cut short in its header)")
        last = bool(data[at] & 0x80)
        at += 4 + int.from_bytes(data[at + 1 : at + 4])
    about = data[8 : 8 + _HEADER_BYTES]
    least, most, packed = (int.from_bytes(about[a:b]) for a, b in ((0, 2), (2, 4), (10, 18)))
    channels, depth = (packed >> 41 & 7) + 1, (packed >> 36 & 31) + 1
    if (channels, depth) != (1, _BITS):
        raise DataError(f"sound of {channels} channels and {depth} bits, where 1 and {_BITS} are needed")
    if least != most or not _LEAST_BLOCK <= most <= _MOST_BLOCK:
        raise DataError(f"sound in blocks of {least} to {most} samples, where one size of 192 to 16384 is needed")
    return _About(most, packed >> 44, packed & (1 << 36) - 1, about[18:]), at


class _Bits:
    """Takes numbers from bits, the highest first; :class:`DataError` where there are no more."""

    def __init__(self, data: bytes) -> None:
        self._at = 0
        self._data = data
        self._each = np.unpackbits(np.frombuffer(data, np.uint8)).tobytes()  # one byte a bit: searched by `find`
        self._array = np.frombuffer(self._each, np.uint8)

    def take(self, count: int) -> int:
        """A number of ``count`` bits, from 0."""
        begin, self._at = self._at, self._at + count
        if self._at > len(self._each):
            raise DataError("damaged sound (cut short)")
        whole = int.from_bytes(self._data[begin >> 3 : self._at + 7 >> 3])
        return whole >> (-self._at & 7) & (1 << count) - 1

    def signed(self, count: int) -> int:
        """A number of ``count`` bits, in two's complement."""
        number = self.take(count)
        return number - (1 << count) if number >> (count - 1) else number

    def zeros(self) -> int:
        """How many zeros come before the next one, which is taken too."""
        begin, end = self._at, self._each.find(1, self._at)
        if end < 0:
            raise DataError("damaged sound (cut short)")
        self._at = end + 1
        return end - begin

    def many(self, count: int, width: int) -> NDArray[np.int64]:
        """Numbers of ``width`` bits each, in two's complement."""
        begin, self._at = self._at, self._at + count * width
        if self._at > len(self._each):
            raise DataError("damaged sound (cut short)")
        if width == 0:
            return np.zeros(count, np.int64)
        weights = np.int64(1) << np.arange(width - 1, -1, -1, dtype=np.int64)
        weights[0] = -weights[0]
        return self._array[begin : self._at].reshape(count, width) @ weights

    def rice(self, count: int, width: int) -> NDArray[np.int64]:
        """Numbers in Rice's code: zeros that a one ends, then ``width`` bits; the lowest bit is the sign."""
        find, at, ends = self._each.find, self._at, []
        for _ in range(count):  # each begins where the one before ends, so they are found one after the other
            at = find(1, at)
            if at < 0:
                break
            ends.append(at)
            at += 1 + width
        if at < 0 or at > len(self._each):
            raise DataError("damaged sound (cut short)")
        stops = np.array(ends, np.int64)
        begins = np.concatenate([[self._at], stops[:-1] + 1 + width])[:count]
        self._at = at
        weights = np.int64(1) << np.arange(width - 1, -1, -1, dtype=np.int64)
        low = self._array[stops[:, None] + np.arange(1, width + 1)] @ weights
        folded = (stops - begins << width) + low
        return folded >> 1 ^ -(folded & 1)

    def to_byte(self) -> None:
        """Leave what is over of a byte."""
        self._at += -self._at & 7


def _frame(bits: _Bits, about: _About, number: int, size: int) -> _Block:
    """The next frame, which must be of that number and size."""
    sync, size_code, rate_code, form = bits.take(16), bits.take(4), bits.take(4), bits.take(8)
    # Rates and depths that a frame repeats; zero refers to the header.
    if sync != _SYNC or form not in (0b0000_0000, 0b0000_1000):
        raise DataError(f"damaged sound (no frame where the {number + 1}th begins)")
    said = _utf8(bits)
    length = _block_size(bits, size_code)
    bits.take({12: 8, 13: 16, 14: 16}.get(rate_code, 0))
    bits.take(8)  # checksums of frames: the whole has a better one
    if (said, length) != (number, size):
        raise DataError(f"damaged sound (frame {said} of {length} samples in place of frame {number} of {size})")
    block = _subframe(bits, size)
    bits.to_byte()
    bits.take(16)
    return block


def _utf8(bits: _Bits) -> int:
    """A number in the code of UTF-8, extended to 36 bits."""
    first = bits.take(8)
    if first < 0x80:
        return first
    more = f"{first:08b}".find("0") - 1
    if not 1 <= more <= 6:
        raise DataError("damaged sound (a frame has no number)")
    number = first & (0x3F >> more)
    for _ in range(more):
        number = number << 6 | bits.take(8) & 0x3F
    return number


def _block_size(bits: _Bits, code: int) -> int:
    if code in (6, 7):
        return bits.take(8 * (code - 5)) + 1
    if code == 1:
        return 192
    return 576 << (code - 2) if 2 <= code <= 5 else 256 << (code - 8) if code >= 8 else 0


def _subframe(bits: _Bits, size: int) -> _Block:
    kind, wasted = bits.take(7), 0
    if bits.take(1):
        wasted = bits.zeros() + 1
    depth = _BITS - wasted
    if depth < 1:
        raise DataError("damaged sound (a block of no bits)")
    if kind == 0:  # one value throughout
        return _Block((1,), 0, wasted, np.concatenate([bits.many(1, depth), np.zeros(size - 1, np.int64)]))
    if kind == 1:  # not packed
        return _Block((), 0, wasted, bits.many(size, depth))
    fixed = 8 <= kind < 8 + len(_FIXED)
    order = kind - 8 if fixed else kind - 31
    if not (fixed or 1 <= order <= _MOST_ORDER) or order > size:
        raise DataError("damaged sound (a block of no known kind)")
    first = bits.many(order, depth)
    weights, shift = (_FIXED[order], 0) if fixed else _weights(bits, order)
    return _Block(weights, shift, wasted, np.concatenate([first, _missed(bits, size, order)]))


def _weights(bits: _Bits, order: int) -> tuple[Sequence[int], int]:
    width, shift = bits.take(4) + 1, bits.signed(5)
    if width == 16 or shift < 0:
        raise DataError("damaged sound (a prediction that none may have)")
    return [bits.signed(width) for _ in range(order)][::-1], shift


def _missed(bits: _Bits, size: int, order: int) -> NDArray[np.int64]:
    """What the prediction misses, ``int64 [size - order]``."""
    method, parts = bits.take(2), bits.take(4)
    each = size >> parts
    if method > 1 or each << parts != size or each < order:
        raise DataError("damaged sound (a block that does not divide)")
    field, out = 4 + method, []
    for part in range(1 << parts):
        count, width = each - (0 if part else order), bits.take(field)
        escaped = width == (1 << field) - 1
        out.append(bits.many(count, bits.take(5)) if escaped else bits.rice(count, width))
    return np.concatenate(out)


def _predicted(blocks: Sequence[_Block], size: int) -> NDArray[np.int64]:
    """Add the predictions: samples ``int64 [size, blocks]``; a shorter last block is followed by what means nothing.

    Each sample needs those before it, but no block needs another: all go forward together.
    """
    most = max(len(block.weights) for block in blocks)
    out = np.zeros((most + size, len(blocks)), np.int64)
    weights = np.zeros((most, len(blocks)), np.int64)
    shift = np.array([block.shift for block in blocks])
    orders = np.array([len(block.weights) for block in blocks])
    for column, block in enumerate(blocks):
        out[most : most + len(block.values), column] = block.values
        weights[most - len(block.weights) :, column] = block.weights
    for row in range(size):
        said = (out[row : row + most] * weights).sum(0) >> shift
        # The first samples of a block stand as they are.
        out[row + most] += said if row >= most else np.where(row >= orders, said, 0)
    return out[most:] << np.array([block.wasted for block in blocks])
