"""Pivots: the pictures that everything between them is generated from, kept on both sides.

Both sides hold the newest four. A pivot's number counts up modulo 8, so that a number always tells a pivot that is held
from one that got lost on the way.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from visavis.codec.bases import Ints
from visavis.codec.bitstream import FRAGMENT_BYTES, MOST_FRAGMENTS, PIVOT_NUMBERS, PivotFragment
from visavis.codec.fields import ByteReader, unzigzag, write_varint, zigzag
from visavis.core.errors import CodecError

T = TypeVar("T")

HELD = 4
#: References are coded in eighths of a pixel.
REFERENCE_UNITS = 32
_MOST_COMPONENTS = 4096
_MOST_REFERENCE = 1 << 20
_MOST_UNFINISHED = 2
MOST_PIVOT_BYTES = MOST_FRAGMENTS * FRAGMENT_BYTES


@dataclass(frozen=True)
class Pivot:
    """A pivot as it travels.

    Attributes:
        reference: its motion's components in units (multiples of :data:`REFERENCE_UNITS`), ``int64 [R]``.
        picture: a coded still.
    """

    reference: Ints
    picture: bytes

    def to_bytes(self) -> bytes:
        """The bytes that fragments carry."""
        numbers = [len(self.reference), *(zigzag(int(r) // REFERENCE_UNITS) for r in self.reference)]
        body = b"".join(write_varint(n) for n in numbers) + self.picture
        return body + struct.pack("<I", zlib.crc32(body))

    @classmethod
    def parse(cls, data: bytes) -> Pivot:
        """The inverse of :meth:`to_bytes`."""
        if len(data) < 4 or struct.unpack("<I", data[-4:])[0] != zlib.crc32(data[:-4]):
            raise CodecError("damaged pivot: its check sum does not fit")
        reader = ByteReader(data[:-4], "pivot")
        count = reader.varint(most=_MOST_COMPONENTS)
        reference = [unzigzag(reader.varint(most=_MOST_REFERENCE)) * REFERENCE_UNITS for _ in range(count)]
        return cls(np.array(reference, np.int64), reader.rest())


def nearest_reference(units: Ints) -> Ints:
    """The reference that can be coded for components in units."""
    return (units + REFERENCE_UNITS // 2) // REFERENCE_UNITS * REFERENCE_UNITS


def fragments(pivot: Pivot, number: int) -> list[bytes]:
    """The packets of a pivot."""
    data = pivot.to_bytes()
    pieces = [data[at : at + FRAGMENT_BYTES] for at in range(0, len(data), FRAGMENT_BYTES)]
    if len(pieces) > MOST_FRAGMENTS:
        raise ValueError(f"a pivot of {len(data)} bytes; at most {MOST_PIVOT_BYTES} are allowed")
    return [
        PivotFragment(number % PIVOT_NUMBERS, index, len(pieces), piece).to_bytes()
        for index, piece in enumerate(pieces)
    ]


class PivotAssembler:
    """Puts fragments together, in whatever order and number they come; holds two unfinished pivots at most."""

    def __init__(self) -> None:
        self._pieces: dict[int, dict[int, bytes]] = {}
        self._counts: dict[int, int] = {}

    def push(self, fragment: PivotFragment) -> Pivot | None:
        """Take a fragment in; return the pivot that it completes."""
        number = fragment.number
        if self._counts.get(number) != fragment.count:
            # Another pivot of the same number: what is left of the older one is of no use.
            self._pieces.pop(number, None)
            self._counts.pop(number, None)
        pieces = self._pieces.setdefault(number, {})
        self._counts[number] = fragment.count
        pieces[fragment.index] = fragment.data
        if len(self._pieces) > _MOST_UNFINISHED:
            oldest = next(iter(self._pieces))
            del self._pieces[oldest], self._counts[oldest]
        if len(pieces) < fragment.count:
            return None
        del self._pieces[number], self._counts[number]
        return Pivot.parse(b"".join(pieces[index] for index in range(fragment.count)))


class PivotStore(Generic[T]):
    """The newest pivots by number, the same on both sides."""

    def __init__(self) -> None:
        self._held: dict[int, T] = {}
        self._newest: int | None = None

    def see(self, number: int) -> None:
        """Learn from any packet that a pivot of this number exists; what it pushes out is dropped."""
        ahead = 0 if self._newest is None else (number - self._newest) % PIVOT_NUMBERS
        if self._newest is None or 0 < ahead <= PIVOT_NUMBERS - HELD:
            self._newest = number
        kept = {(self._newest - back) % PIVOT_NUMBERS for back in range(HELD)}
        self._held = {n: pivot for n, pivot in self._held.items() if n in kept}

    def put(self, number: int, pivot: T) -> None:
        """Hold a pivot."""
        self._held.pop(number, None)
        self.see(number)
        self._held[number] = pivot

    def get(self, number: int) -> T | None:
        """The pivot of a number, or None when it is not held."""
        return self._held.get(number)

    def items(self) -> list[tuple[int, T]]:
        """All that are held, oldest first."""
        newest = self._newest or 0
        return sorted(self._held.items(), key=lambda item: (item[0] - newest - 1) % PIVOT_NUMBERS)
