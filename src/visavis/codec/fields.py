"""Fields of packets: whole numbers of as many bytes as they need, and careful reading."""

from __future__ import annotations

from visavis.core.errors import CodecError

_MOST_VARINT_BYTES = 5


def write_varint(value: int) -> bytes:
    """Seven bits a byte, lowest first; the top bit says that more follow."""
    if not 0 <= value < 1 << 7 * _MOST_VARINT_BYTES:
        raise ValueError(f"{value} does not fit a varint")
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def zigzag(value: int) -> int:
    """Signed to unsigned: 0, -1, 1, -2 become 0, 1, 2, 3."""
    return value << 1 if value >= 0 else (-value << 1) - 1


def unzigzag(value: int) -> int:
    """The inverse of :func:`zigzag`."""
    return value >> 1 if not value & 1 else -(value + 1 >> 1)


class ByteReader:
    """Takes fields off the front of bytes; running out of them is a :class:`CodecError`."""

    def __init__(self, data: bytes, what: str) -> None:
        self._data, self._at, self._what = data, 0, what

    def take(self, count: int) -> bytes:
        """The next ``count`` bytes."""
        if count > self.left:
            raise CodecError(f"damaged {self._what}: {count} bytes are missing at its end")
        self._at += count
        return self._data[self._at - count : self._at]

    @property
    def left(self) -> int:
        """Bytes not taken yet."""
        return len(self._data) - self._at

    def rest(self) -> bytes:
        """All bytes not taken yet."""
        return self.take(self.left)

    def byte(self) -> int:
        """The next byte."""
        return self.take(1)[0]

    def varint(self, least: int = 0, most: int = (1 << 31) - 1) -> int:
        """The next varint, which must be from ``least`` to ``most``."""
        value = 0
        for shift in range(0, 7 * _MOST_VARINT_BYTES, 7):
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                if not least <= value <= most:
                    raise CodecError(f"damaged {self._what}: {value} where {least} to {most} is allowed")
                return value
        raise CodecError(f"damaged {self._what}: a number in it has no end")

    def end(self) -> None:
        """There must be nothing left."""
        if self.left:
            raise CodecError(f"damaged {self._what}: {self.left} bytes too many")
