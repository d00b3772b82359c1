"""Range coding of small integers with frozen integer models: no float decides a bit.

The coder is binary. An interval ``[low, low + range)`` shrinks with every decision in proportion to its probability;
any number inside the last interval, written in as few bytes as possible, tells the decoder all of them::

    0 |--------------------------------------------------| 2^32      range = 2^32 - 1
      |<------- p / 2^16 ------->|<----- 1 - p/2^16 ---->|
             decision is 1              decision is 0                 below 2^24: 8 more bits on both

Motion packets are about 20 bytes, so the end matters: this coder spends less than a byte on it, where one of 32-bit
words spends up to eight.

An integer is coded against a *level*: the binary logarithm, in eighths, of the mean magnitude that is expected of
it. Contexts, quantiser steps and a packet's loudness all shift the level by addition.
"""

from __future__ import annotations

from visavis.core.errors import CodecError

_TOP = 1 << 24
_FULL = (1 << 32) - 1
_MASK = (1 << 32) - 1
PROBABILITY_BITS = 16

#: Levels run from LEAST_LEVEL (mean magnitude 2^-8) in eighths of an octave to MOST_LEVEL (2^2).
LEAST_LEVEL, MOST_LEVEL = -64, 16
_OCTAVE = 8
#: Magnitudes beyond this many continued decisions go on as an Exp-Golomb code of plain bits.
_LONGEST_UNARY = 24
_MOST_EXPONENT = 20

# Both follow a two-sided geometric distribution; the numbers, not the formula, are the format.
#: Probability of zero, of 2^16, by level.
# fmt: off
ZERO = (
    65280, 65257, 65232, 65205, 65175, 65142, 65107, 65068, 65026, 64980, 64930, 64875,
    64816, 64751, 64681, 64604, 64520, 64429, 64330, 64221, 64104, 63976, 63836, 63685,
    63520, 63341, 63146, 62934, 62704, 62454, 62182, 61887, 61568, 61221, 60846, 60439,
    59999, 59523, 59008, 58453, 57854, 57209, 56514, 55768, 54967, 54109, 53191, 52212,
    51169, 50061, 48887, 47647, 46341, 44971, 43539, 42048, 40503, 38911, 37278, 35613,
    33924, 32222, 30518, 28822, 27146, 25499, 23892, 22333, 20830, 19388, 18012, 16706,
    15471, 14308, 13217, 12196, 11244, 10358, 9536, 8773, 8068,
)
# fmt: on
#: Probability of one more after at least one, of 2^16, by level.
# fmt: off
MORE = (
    128, 140, 152, 166, 181, 197, 215, 235, 256, 279, 304, 332,
    362, 395, 431, 469, 512, 558, 609, 664, 724, 789, 861, 939,
    1024, 1116, 1217, 1327, 1447, 1578, 1721, 1876, 2046, 2231, 2432, 2652,
    2891, 3151, 3435, 3744, 4080, 4446, 4844, 5277, 5748, 6259, 6814, 7416,
    8068, 8773, 9536, 10358, 11244, 12196, 13217, 14308, 15471, 16706, 18012, 19388,
    20830, 22333, 23892, 25499, 27146, 28822, 30518, 32222, 33924, 35613, 37278, 38911,
    40503, 42048, 43539, 44971, 46341, 47647, 48887, 50061, 51169,
)
# fmt: on


class RangeEncoder:
    """Collects binary decisions and gives the shortest bytes that tell them."""

    def __init__(self) -> None:
        self._low, self._range, self._bytes = 0, _FULL, 4

    def bit(self, one: bool, probability: int) -> None:
        """Code a decision whose probability of being one is ``probability / 2^16``, from 1 to 65535."""
        bound = (self._range >> PROBABILITY_BITS) * probability
        if one:
            self._range = bound
        else:
            self._low += bound
            self._range -= bound
        while self._range < _TOP:
            # Python's integers carry by themselves: low is the whole number so far.
            self._low <<= 8
            self._range <<= 8
            self._bytes += 1

    def plain(self, value: int, count: int) -> None:
        """Code ``count`` bits that are as likely zero as one, highest first."""
        for shift in reversed(range(count)):
            self.bit(bool(value >> shift & 1), 1 << (PROBABILITY_BITS - 1))

    def finish(self) -> bytes:
        """The shortest bytes inside the interval; what follows them counts as zeros."""
        last = self._low + self._range - 1
        free = (self._low ^ last).bit_length()  # bits below which the interval holds every number
        while free >= 0:
            rounded = -(-self._low >> free) << free
            if rounded <= last:
                return rounded.to_bytes(self._bytes, "big").rstrip(b"\0")
            free -= 1
        raise AssertionError("an interval holds at least one number")


class RangeDecoder:
    """The inverse of :class:`RangeEncoder`; bytes past the end are zeros."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 4
        self._code = int.from_bytes(data[:4].ljust(4, b"\0"), "big")
        self._range = _FULL

    def bit(self, probability: int) -> bool:
        """The next decision."""
        bound = (self._range >> PROBABILITY_BITS) * probability
        one = self._code < bound
        if one:
            self._range = bound
        else:
            self._code -= bound
            self._range -= bound
        while self._range < _TOP:
            fresh = self._data[self._at] if self._at < len(self._data) else 0
            self._at += 1
            self._code = (self._code << 8 | fresh) & _MASK
            self._range = self._range << 8 & _MASK
        return one

    def plain(self, count: int) -> int:
        """The next ``count`` plain bits."""
        value = 0
        for _ in range(count):
            value = value << 1 | self.bit(1 << (PROBABILITY_BITS - 1))
        return value


def _split(level: int) -> tuple[int, int, int]:
    """Plain low bits of a magnitude at this level, and the probabilities of zero and of going on above them."""
    low_bits = max(0, -(-(level - MOST_LEVEL) // _OCTAVE))
    row = max(level - _OCTAVE * low_bits, LEAST_LEVEL) - LEAST_LEVEL
    return low_bits, ZERO[row], MORE[row]


def encode_integer(coder: RangeEncoder, value: int, level: int) -> None:
    """Code a signed integer whose mean magnitude is expected to be ``2 ** (level / 8)``."""
    low_bits, zero, more = _split(level)
    magnitude = abs(value)
    high = magnitude >> low_bits
    coder.bit(high == 0, zero)
    if high:
        for _ in range(min(high - 1, _LONGEST_UNARY)):
            coder.bit(True, more)
        if high - 1 < _LONGEST_UNARY:
            coder.bit(False, more)
        else:
            _encode_large(coder, high - 1 - _LONGEST_UNARY)
    coder.plain(magnitude & ((1 << low_bits) - 1), low_bits)
    if magnitude:
        coder.plain(value < 0, 1)


def decode_integer(coder: RangeDecoder, level: int) -> int:
    """The inverse of :func:`encode_integer`.

    Raises:
        CodecError: a number larger than any encoder writes.
    """
    low_bits, zero, more = _split(level)
    high = 0
    if not coder.bit(zero):
        high = 1
        while high <= _LONGEST_UNARY and coder.bit(more):
            high += 1
        if high > _LONGEST_UNARY:
            high += _decode_large(coder)
    magnitude = high << low_bits | coder.plain(low_bits)
    return -magnitude if magnitude and coder.plain(1) else magnitude


def _encode_large(coder: RangeEncoder, value: int) -> None:
    exponent = (value + 1).bit_length() - 1
    if exponent > _MOST_EXPONENT:
        raise ValueError(f"{value} is too large to be coded")
    coder.plain((1 << exponent) - 1 << 1, exponent + 1)
    coder.plain(value + 1 - (1 << exponent), exponent)


def _decode_large(coder: RangeDecoder) -> int:
    exponent = 0
    while coder.plain(1):
        exponent += 1
        if exponent > _MOST_EXPONENT:
            raise CodecError("damaged motion: a number in it is larger than any encoder writes")
    return (1 << exponent) - 1 + coder.plain(exponent)
