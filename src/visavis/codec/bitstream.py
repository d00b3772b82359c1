"""The packets of a call, byte by byte; docs/bitstream.md is their normative description.

Everything here is whole numbers. Whatever arrives, parsing gives a packet or one :class:`CodecError`, in time and
memory bounded by the packet's own length.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum
from fractions import Fraction
from typing import ClassVar

from visavis.codec.fields import ByteReader, write_varint
from visavis.codec.transform import GROUP_SIZES
from visavis.core.errors import CodecError

VERSION = 2
MOST_PACKET_BYTES = 1100
MOST_FRAGMENTS = 64
PIVOT_NUMBERS = 8
#: Bytes of a points packet before its points.
POINTS_HEAD = 2
_FRAGMENT_HEAD = 3
FRAGMENT_BYTES = MOST_PACKET_BYTES - _FRAGMENT_HEAD

_MOST_NAME_BYTES = 64
_MOST_FPS = 240
_SIDES = (16, 1024)
_MOST_VALUES = 4096
_MOST_INTERPOLATED = 8


class Kind(IntEnum):
    """Upper three bits of a packet's first byte."""

    HEADER = 0
    PIVOT = 1
    MOTION = 2
    POINTS = 3
    SOUND = 4
    REQUEST = 5
    END = 6


class Mode(IntEnum):
    """How motion travels: coded, or as the thesis has it, 20 floats a frame."""

    ADAPTIVE = 0
    PAPER80 = 1


class Wanted(IntEnum):
    """What a receiver asks for again."""

    HEADER = 0
    PIVOT = 1
    ABSOLUTE = 2


def _first(kind: Kind, low: int = 0) -> bytes:
    return bytes([kind << 5 | low])


@dataclass(frozen=True)
class Header:
    """What a decoder must know before anything else.

    Attributes:
        mode: how motion travels.
        fps: frames a second.
        size: side of the pictures that are made.
        values: D, length of the motion vector.
        layout: identity of its layout, 8 bytes.
        group: coded frames in a motion packet: 1, 2, 4 or 8.
        interpolated: frames N between coded ones, which the receiver makes up.
        has_sound: whether sound packets come.
        weights: sha256 of the generator's weights, 32 bytes.
        table: identity of the motion table, 8 bytes.
        model: name of the weights, for people.
    """

    mode: Mode
    fps: Fraction
    size: int
    values: int
    layout: bytes
    group: int
    interpolated: int
    has_sound: bool
    weights: bytes
    table: bytes
    model: str

    kind: ClassVar[Kind] = Kind.HEADER

    def to_bytes(self) -> bytes:
        """The packet."""
        numbers = [self.mode, self.fps.numerator, self.fps.denominator, self.size]
        numbers += [self.values, self.group, self.interpolated, self.has_sound]
        name = self.model.encode()[:_MOST_NAME_BYTES].decode(errors="ignore").encode()
        body = _first(Kind.HEADER) + bytes([VERSION]) + b"".join(write_varint(int(n)) for n in numbers)
        body += self.layout + self.weights + self.table + write_varint(len(name)) + name
        return body + struct.pack("<I", zlib.crc32(body))

    @classmethod
    def parse(cls, data: bytes) -> Header:
        """Read the packet."""
        reader = ByteReader(data[:-4], "header")
        reader.byte()
        version = reader.byte()
        if version != VERSION:
            raise CodecError(f"the call has version {version} of the format; this visavis reads version {VERSION}")
        if len(data) < 4 or struct.unpack("<I", data[-4:])[0] != zlib.crc32(data[:-4]):
            raise CodecError("damaged header: its check sum does not fit")
        mode = Mode(reader.varint(most=max(Mode)))
        fps = Fraction(reader.varint(1, 1_000_000), reader.varint(1, 1_000_000))
        if not Fraction(1, 10) <= fps <= _MOST_FPS:
            raise CodecError(f"damaged header: {float(fps):g} frames a second; 0.1 to {_MOST_FPS} are allowed")
        size, values = reader.varint(*_SIDES), reader.varint(1, _MOST_VALUES)
        group, interpolated = reader.varint(1, max(GROUP_SIZES)), reader.varint(most=_MOST_INTERPOLATED)
        if group not in GROUP_SIZES:
            raise CodecError(f"damaged header: groups of {group} frames; 1, 2, 4 and 8 are allowed")
        has_sound = bool(reader.varint(most=1))
        layout, weights, table = reader.take(8), reader.take(32), reader.take(8)
        name = reader.take(reader.varint(most=_MOST_NAME_BYTES)).decode(errors="replace")
        name = "".join(letter if letter.isprintable() else "?" for letter in name)
        reader.end()
        return cls(mode, fps, size, values, layout, group, interpolated, has_sound, weights, table, name)


@dataclass(frozen=True)
class PivotFragment:
    """A piece of a pivot.

    Attributes:
        number: the pivot's, modulo 8.
        index: of this piece.
        count: of all pieces.
        data: up to :data:`FRAGMENT_BYTES`.
    """

    number: int
    index: int
    count: int
    data: bytes

    kind: ClassVar[Kind] = Kind.PIVOT

    def to_bytes(self) -> bytes:
        """The packet."""
        return _first(Kind.PIVOT, self.number) + bytes([self.index, self.count]) + self.data

    @classmethod
    def parse(cls, data: bytes) -> PivotFragment:
        """Read the packet."""
        reader = ByteReader(data, "pivot")
        number, index, count = reader.byte() & 31, reader.byte(), reader.byte()
        if number >= PIVOT_NUMBERS or not 1 <= count <= MOST_FRAGMENTS or index >= count or not reader.left:
            raise CodecError(f"damaged pivot: piece {index} of {count} of number {number}")
        return cls(number, index, count, reader.rest())


@dataclass(frozen=True)
class MotionGroup:
    """Coded motion of one group of frames.

    Attributes:
        group: its number, modulo 256.
        pivot: number of the pivot it moves, modulo 8.
        absolute: coded against the pivot, not against the group before.
        step: index of the quantiser step, 0 to 31.
        bias: index of the loudness, 0 to 7.
        payload: range coded coefficients.
    """

    group: int
    pivot: int
    absolute: bool
    step: int
    bias: int
    payload: bytes

    kind: ClassVar[Kind] = Kind.MOTION

    def to_bytes(self) -> bytes:
        """The packet."""
        head = _first(Kind.MOTION, self.absolute << 3 | self.bias)
        return head + bytes([self.group, self.pivot << 5 | self.step]) + self.payload

    @classmethod
    def parse(cls, data: bytes) -> MotionGroup:
        """Read the packet."""
        reader = ByteReader(data, "motion")
        flags, group, choice = reader.byte() & 31, reader.byte(), reader.byte()
        if flags > 15:
            raise CodecError("damaged motion: a reserved bit is set")
        return cls(group, choice >> 5, bool(flags >> 3), choice & 31, flags & 7, reader.rest())


@dataclass(frozen=True)
class PointsGroup:
    """Keypoints of one group of frames as plain float32, little-endian: the thesis's 80 bytes a frame.

    Attributes:
        group: its number, modulo 256.
        pivot: number of the pivot it moves, modulo 8.
        payload: frames, points, (x, y).
    """

    group: int
    pivot: int
    payload: bytes

    kind: ClassVar[Kind] = Kind.POINTS

    def to_bytes(self) -> bytes:
        """The packet."""
        return _first(Kind.POINTS, self.pivot) + bytes([self.group]) + self.payload

    @classmethod
    def parse(cls, data: bytes) -> PointsGroup:
        """Read the packet."""
        reader = ByteReader(data, "motion")
        pivot, group = reader.byte() & 31, reader.byte()
        if pivot >= PIVOT_NUMBERS or not reader.left or reader.left % 8:
            raise CodecError("damaged motion: it is not a list of points")
        return cls(group, pivot, reader.rest())


@dataclass(frozen=True)
class SoundBundle:
    """Consecutive Opus packets of equal duration.

    Attributes:
        first: number of the first, from the call's start.
        frames_20ms: duration of each in units of 20 ms: 1, 2 or 3.
        packets: 1 to 16 of them; an empty one is a gap.
    """

    first: int
    frames_20ms: int
    packets: tuple[bytes, ...]

    kind: ClassVar[Kind] = Kind.SOUND

    def to_bytes(self) -> bytes:
        """The packet."""
        out = _first(Kind.SOUND, self.frames_20ms - 1) + write_varint(self.first)
        return out + b"".join(write_varint(len(packet)) + packet for packet in self.packets)

    @classmethod
    def parse(cls, data: bytes) -> SoundBundle:
        """Read the packet."""
        reader = ByteReader(data, "sound")
        duration = (reader.byte() & 31) + 1
        if duration > 3:
            raise CodecError(f"damaged sound: packets of {20 * duration} ms; 20, 40 and 60 are allowed")
        first = reader.varint()
        packets = []
        while reader.left:
            packets.append(reader.take(reader.varint(most=MOST_PACKET_BYTES)))
            if len(packets) > 16:
                raise CodecError("damaged sound: more than 16 packets in one")
        if not packets:
            raise CodecError("damaged sound: there is none in it")
        return cls(first, duration, tuple(packets))


@dataclass(frozen=True)
class Request:
    """What a receiver wants to have again.

    Attributes:
        wanted: what.
        number: of the pivot, modulo 8; 0 otherwise.
    """

    wanted: Wanted
    number: int = 0

    kind: ClassVar[Kind] = Kind.REQUEST

    def to_bytes(self) -> bytes:
        """The packet."""
        return _first(Kind.REQUEST, self.wanted) + bytes([self.number])

    @classmethod
    def parse(cls, data: bytes) -> Request:
        """Read the packet."""
        reader = ByteReader(data, "request")
        wanted, number = reader.byte() & 31, reader.byte()
        reader.end()
        if wanted > max(Wanted) or number >= PIVOT_NUMBERS:
            raise CodecError("damaged request: it asks for what there is not")
        return cls(Wanted(wanted), number)


@dataclass(frozen=True)
class End:
    """The call is over.

    Attributes:
        frames: number of its frames.
    """

    frames: int

    kind: ClassVar[Kind] = Kind.END

    def to_bytes(self) -> bytes:
        """The packet."""
        return _first(Kind.END) + write_varint(self.frames)

    @classmethod
    def parse(cls, data: bytes) -> End:
        """Read the packet."""
        reader = ByteReader(data, "end")
        reader.byte()
        frames = reader.varint()
        reader.end()
        return cls(frames)


Packet = Header | PivotFragment | MotionGroup | PointsGroup | SoundBundle | Request | End
_PACKETS: tuple[type[Packet], ...] = (Header, PivotFragment, MotionGroup, PointsGroup, SoundBundle, Request, End)


def parse(data: bytes) -> Packet:
    """Read any packet.

    Raises:
        CodecError: it is empty, too long, of an unknown kind, or damaged.
    """
    if not 0 < len(data) <= MOST_PACKET_BYTES:
        raise CodecError(f"damaged packet: {len(data)} bytes; 1 to {MOST_PACKET_BYTES} are allowed")
    kind = data[0] >> 5
    if kind >= len(_PACKETS):
        raise CodecError(f"damaged packet: kind {kind} is unknown")
    return _PACKETS[kind].parse(data)
