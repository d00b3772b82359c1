"""The closed loop of motion: groups of frames, transformed over time, quantised and range coded.

A group of G frames (1, 2, 4 or 8) is the difference of each frame from where the last group ended, as the DECODER
knows it, under an orthonormal transform over time. The coefficients are divided by the packet's step and rounded::

    components --(-)--> DST over G frames --> / step, round --> range coder --> bytes
                ^                                      |
                |                                      v
                +---- last frame <---- integers: + DST^-1 ( x step )      the same on both sides

Since the loop is closed over integers, errors do not add up: each coefficient is within half a step for ever (a
thrifty encoder may go up to a whole one), on any machine. A group may instead start from its pivot's own components:
such an *absolute* group, which is under a cosine transform, needs no earlier packet, and is where a decoder that lost
some recovers. Each packet's entropy code stands alone, so that after a loss the changes still apply to what was
concealed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from visavis.codec.bases import BASIS_BITS, DEPARTING, STEADY, Ints
from visavis.codec.entropy import (
    LEAST_LEVEL,
    MORE,
    MOST_LEVEL,
    PROBABILITY_BITS,
    ZERO,
    RangeDecoder,
    RangeEncoder,
    decode_integer,
    encode_integer,
)
from visavis.codec.transform import CLASSES, GROUP_SIZES, UNITS, MotionTable
from visavis.core.errors import CodecError

Floats = NDArray[np.float32]

#: Quantiser steps in 1/256 pixel, a quarter of an octave apart: 4 * 2^(i/4).
STEPS = (
    *(4, 5, 6, 7, 8, 10, 11, 13, 16, 19, 23, 27, 32, 38, 45, 54),
    *(64, 76, 91, 108, 128, 152, 181, 215, 256, 304, 362, 431, 512, 609, 724, 861),
)
#: A packet's loudness shifts its levels by one of these.
BIASES = (-9, -6, -3, 0, 3, 6, 9, 14)
#: Components stay within this many units, whatever arrives.
_MOST = 1 << 22
_MOST_VALUE = 1 << 18
_ROUNDS = 2


def step_level(step: int) -> int:
    """Binary logarithm of ``STEPS[step]``, in eighths."""
    return 16 + 2 * step


def activity(coded: Ints, k: int, j: int) -> int:
    """Class 0 to 5 of coefficient ``(k, j)`` by those coded before it: of its own component, and its neighbours."""
    before = min(abs(int(coded[k - 1, j])), 2) if k else 0
    earlier = min(abs(int(coded[k - 2, j])), 1) if k > 1 else 0
    left = min(abs(int(coded[k, j - 1])), 2) if j else 0
    return before + earlier + left


def activities(coded: Ints) -> Ints:
    """:func:`activity` of every coefficient ``[G, R]`` at once."""
    size = np.abs(coded)
    out = np.zeros_like(size)
    out[1:] += np.minimum(size[:-1], 2)
    out[2:] += np.minimum(size[:-2], 1)
    out[:, 1:] += np.minimum(size[:, :-1], 2)
    return out


def basis(frames: int, *, absolute: bool) -> Ints:
    """The transform ``[G, G]`` of a group."""
    return STEADY[frames] if absolute else DEPARTING[frames]


def inverse(coefficients: Ints, start: Ints, *, absolute: bool) -> Ints:
    """Frames ``[G, R]`` in units from dequantised coefficients ``[G, R]`` and the row ``[R]`` they differ from."""
    change = basis(len(coefficients), absolute=absolute).T @ coefficients
    change = (change + (1 << (BASIS_BITS - 1))) >> BASIS_BITS
    return np.clip(start + change, -_MOST, _MOST)


def to_units(pixels: Floats) -> Ints:
    """Components in pixels to the stream's integers."""
    return np.clip(np.rint(np.asarray(pixels, np.float64) * UNITS), -_MOST, _MOST).astype(np.int64)


def to_pixels(units: Ints) -> Floats:
    """The stream's integers to components in pixels."""
    return np.asarray(units / UNITS, np.float32)


class MotionEncoder:
    """Codes groups of frames.

    Args:
        table: of the weights.
        thrift: what a bit is worth, in squared steps of error. 0 rounds to the nearest; more rounds towards what is
            cheaper to tell, by less than a step. For a given error 0.15 takes an eighth fewer bits than 0.
    """

    def __init__(self, table: MotionTable, *, thrift: float = 0.15) -> None:
        if not 0 <= thrift < 1:
            raise ValueError(f"a bit is worth 0 to 1 squared steps, not {thrift}")
        self.table, self._thrift = table, thrift
        self.state: Ints = np.zeros(table.components, np.int64)

    def encode(self, frames: Floats, step: int, reference: Ints | None = None) -> tuple[bytes, int, Ints]:
        """Code components ``[G, R]`` in pixels.

        Args:
            frames: one group; G is 1, 2, 4 or 8.
            step: index into :data:`STEPS`.
            reference: components of the pivot in units, for an absolute group.

        Returns:
            The payload, the index of its bias, and the group ``[G, R]`` in units as a decoder will have it.
        """
        absolute = reference is not None
        start = self.state if reference is None else reference
        values = self.quantise(frames, step, start, absolute=absolute)
        levels, bias = self._levels(values, step, absolute=absolute)
        coder = RangeEncoder()
        for value, level in zip(values.ravel().tolist(), levels.ravel().tolist(), strict=True):
            encode_integer(coder, value, level)
        return coder.finish(), bias, self.advance(values, step, start, absolute=absolute)

    def quantise(self, frames: Floats, step: int, start: Ints, *, absolute: bool) -> Ints:
        """Quantised coefficients ``[G, R]`` of a group that differs from ``start``."""
        forward = basis(len(frames), absolute=absolute).astype(np.float64) / (1 << BASIS_BITS)
        exact = forward @ (np.asarray(frames, np.float64) * UNITS - start) / STEPS[step]
        size = np.clip(np.abs(exact), 0, _MOST_VALUE)
        below = np.floor(size).astype(np.int64)
        chosen = np.rint(size).astype(np.int64)
        for _ in range(_ROUNDS if self._thrift else 0):
            levels, _ = self._levels(chosen, step, absolute=absolute)
            costs = [(size - value) ** 2 + self._thrift * cost_bits(value, levels) for value in (below, below + 1)]
            chosen = below + (costs[1] < costs[0])
        return np.asarray(np.copysign(chosen, exact), np.int64)

    def _levels(self, values: Ints, step: int, *, absolute: bool) -> tuple[Ints, int]:
        """Levels at which quantised coefficients are coded, and the index of the bias that suits them best."""
        rows = self.table.level_rows(len(values), absolute=absolute) - step_level(step)
        contexts = rows + self.table.offsets[np.minimum(activities(values), CLASSES - 1)]
        bias = int(np.argmin([cost_bits(values, contexts + shift).sum() for shift in BIASES]))
        return contexts + BIASES[bias], bias

    def advance(self, values: Ints, step: int, start: Ints, *, absolute: bool) -> Ints:
        """Move the loop on by quantised coefficients; returns the group as a decoder has it."""
        group = inverse(values * STEPS[step], start, absolute=absolute)
        self.state = group[-1]
        return group


def decode_values(payload: bytes, table: MotionTable, frames: int, step: int, bias: int, *, absolute: bool) -> Ints:
    """Dequantised coefficients ``[G, R]`` of a payload.

    Raises:
        CodecError: no encoder writes such a payload.
    """
    rows = table.level_rows(frames, absolute=absolute).astype(np.int64) + (BIASES[bias] - step_level(step))
    offsets = table.offsets.tolist()
    values = np.zeros(rows.shape, np.int64)
    coder = RangeDecoder(payload)
    for k in range(frames):
        for j, level in enumerate(rows[k].tolist()):
            values[k, j] = decode_integer(coder, level + offsets[min(activity(values, k, j), CLASSES - 1)])
    return values * STEPS[step]


class MotionDecoder:
    """Follows the encoder's closed loop.

    Args:
        table: of the weights.
    """

    def __init__(self, table: MotionTable) -> None:
        self.table = table
        self.state: Ints = np.zeros(table.components, np.int64)

    def decode(self, payload: bytes, frames: int, step: int, bias: int, reference: Ints | None = None) -> Ints:
        """Decode a group ``[G, R]`` in units; the arguments are those of :meth:`MotionEncoder.encode`."""
        if frames not in GROUP_SIZES or not 0 <= step < len(STEPS) or not 0 <= bias < len(BIASES):
            raise CodecError(f"damaged motion: a group of {frames} frames with step {step} and bias {bias}")
        absolute = reference is not None
        coefficients = decode_values(payload, self.table, frames, step, bias, absolute=absolute)
        group = inverse(coefficients, self.state if reference is None else reference, absolute=absolute)
        self.state = group[-1]
        return group


def _price(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(-np.log2(probability / (1 << PROBABILITY_BITS)))


_ZERO = np.array(ZERO, np.float64)
_MORE = np.array(MORE, np.float64)
_IS_ZERO, _NOT_ZERO = _price(_ZERO), _price((1 << PROBABILITY_BITS) - _ZERO)
_GOES_ON, _ENDS = _price(_MORE), _price((1 << PROBABILITY_BITS) - _MORE)


def cost_bits(values: Ints, levels: Ints) -> NDArray[np.float64]:
    """About how many bits the entropy code spends on each value; guides encoders, decides nothing in a decoder."""
    low_bits = np.maximum(0, -(-(levels - MOST_LEVEL) // 8))
    row = np.maximum(levels - 8 * low_bits, LEAST_LEVEL) - LEAST_LEVEL
    size = np.abs(values)
    high = size >> low_bits
    large = _NOT_ZERO[row] + (high - 1) * _GOES_ON[row] + _ENDS[row]
    return np.asarray(np.where(high == 0, _IS_ZERO[row], large) + low_bits + (size > 0))
