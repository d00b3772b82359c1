"""Bits as the H.26x standards write them: u(n), ue(v), st(v), byte alignment.

:class:`BitWriter` and :class:`BitReader` have the same members. The writer puts down the value it is given and returns
it; the reader ignores that value and returns the one it finds. So a syntax is stated once, as one function, and what
is written cannot differ from what is read.
"""

from __future__ import annotations

from typing import Protocol

from visavis.core.errors import CodecError

MOST_UE = (1 << 32) - 2


class Bits(Protocol):
    """What a syntax function needs of a writer or a reader."""

    reading: bool

    def u(self, count: int, value: int) -> int:
        """An unsigned number of ``count`` bits."""

    def ue(self, value: int) -> int:
        """An unsigned Exp-Golomb number, at most 2^32 - 2."""

    def st(self, value: str) -> str:
        """Text in UTF-8 that ends with a zero byte, after alignment."""

    def align(self) -> None:
        """Zero bits up to the next whole byte."""

    def rest(self, value: bytes) -> bytes:
        """All bytes up to the end, after alignment."""


def flag(bits: Bits, value: bool) -> bool:
    """One bit as a truth value."""
    return bool(bits.u(1, int(value)))


class BitWriter:
    """Collects bits, most significant first."""

    reading = False

    def __init__(self) -> None:
        self._bits = bytearray()

    def u(self, count: int, value: int) -> int:
        if not 0 <= value < 1 << count:
            raise CodecError(f"{value} does not fit into {count} bits")
        self._bits.extend(value >> place & 1 for place in range(count - 1, -1, -1))
        return value

    def ue(self, value: int) -> int:
        if not 0 <= value <= MOST_UE:
            raise CodecError(f"{value} cannot be written as ue(v); 0 to {MOST_UE} can")
        self.u(2 * (value + 1).bit_length() - 1, value + 1)
        return value

    def st(self, value: str) -> str:
        if "\0" in value:
            raise CodecError("a text holds a zero character, which would end it")
        self.align()
        for byte in value.encode() + b"\0":
            self.u(8, byte)
        return value

    def align(self) -> None:
        self._bits.extend(bytes(-len(self._bits) % 8))

    def rest(self, value: bytes) -> bytes:
        self.align()
        for byte in value:
            self.u(8, byte)
        return value

    def payload(self) -> bytes:
        """The bytes of a SEI payload: where they do not end with a whole byte, a one and zeros follow."""
        if len(self._bits) % 8:
            self.u(1, 1)
            self.align()
        number = int("".join(map(str, self._bits)) or "0", 2)
        return number.to_bytes(len(self._bits) // 8, "big")


class BitReader:
    """Gives bits out, most significant first; past the end there is a :class:`CodecError`."""

    reading = True

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        """How many bits have not been read."""
        return 8 * len(self._data) - self._at

    def u(self, count: int, value: int = 0) -> int:
        if count > self.left:
            raise CodecError("the bits end in the middle of a message")
        first, last = self._at // 8, (self._at + count + 7) // 8
        self._at += count
        return int.from_bytes(self._data[first:last], "big") >> (8 * last - self._at) & (1 << count) - 1

    def ue(self, value: int = 0) -> int:
        zeros = 0
        while not self.u(1):
            zeros += 1
            if zeros > 31:
                raise CodecError(f"a number is above {MOST_UE}")
        return (1 << zeros) - 1 + self.u(zeros)

    def st(self, value: str = "") -> str:
        self.align()
        start = self._at // 8
        end = self._data.find(0, start)
        if end < 0:
            raise CodecError("a text has no end")
        self._at = 8 * (end + 1)
        try:
            return self._data[start:end].decode()
        except UnicodeDecodeError as error:
            raise CodecError("a text is not UTF-8") from error

    def align(self) -> None:
        if self.u(-self._at % 8):
            raise CodecError("bits that fill up a byte must be zero")

    def rest(self, value: bytes = b"") -> bytes:
        self.align()
        start, self._at = self._at // 8, 8 * len(self._data)
        return self._data[start:]
