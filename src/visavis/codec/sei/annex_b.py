"""SEI messages in and out of Annex B streams of H.264 and H.265, as encoders and files of raw video have them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from enum import Enum
from itertools import pairwise

from visavis.codec.sei.gfv import PAYLOAD_TYPE
from visavis.core.errors import CodecError

_START = b"\0\0\0\1"
_MOST_NUMBER = 1 << 24


class Standard(Enum):
    """Which standard's NAL units a stream is made of."""

    H264 = "h264"
    H265 = "h265"

    @property
    def sei_header(self) -> bytes:
        """Header of a SEI unit before its picture: type 6, or prefix SEI 39 of layer 0."""
        return b"\x06" if self is Standard.H264 else b"\x4e\x01"

    def kind(self, unit: bytes) -> int:
        """Type of a NAL unit; -1 where the header is cut."""
        if len(unit) < len(self.sei_header):
            return -1
        return unit[0] & 31 if self is Standard.H264 else unit[0] >> 1 & 63

    def is_sei(self, unit: bytes) -> bool:
        """Whether a unit holds SEI messages; H.265 also has them after the picture, type 40."""
        return self.kind(unit) in ((6,) if self is Standard.H264 else (39, 40))

    def starts_picture(self, unit: bytes) -> bool:
        """Whether a unit is the first slice of a coded picture."""
        kind, head = self.kind(unit), len(self.sei_header)
        slices = (1, 2, 5) if self is Standard.H264 else range(32)
        # first_mb_in_slice is 0 as ue(v), or first_slice_segment_in_pic_flag is 1: in both the first bit is set.
        return kind in slices and len(unit) > head and bool(unit[head] & 0x80)

    def follows_picture(self, unit: bytes) -> bool:
        """Whether a SEI unit belongs to the picture before it."""
        return self is Standard.H265 and self.kind(unit) == 40


def units(stream: bytes) -> Iterator[bytes]:
    """The NAL units of an Annex B stream, without start codes."""
    starts = [match.end() for match in re.finditer(b"\0\0\1", stream)]
    for start, after in pairwise([*starts, len(stream) + 3]):
        unit = stream[start : after - 3].rstrip(b"\0")
        if unit:
            yield unit


def sei_unit(payload: bytes, standard: Standard, payload_type: int = PAYLOAD_TYPE) -> bytes:
    """One NAL unit, without start code, that holds one SEI message."""
    message = _number(payload_type) + _number(len(payload)) + payload
    return standard.sei_header + _escaped(message + b"\x80")


def messages(unit: bytes, standard: Standard) -> Iterator[tuple[int, bytes]]:
    """``(payload type, payload)`` of each SEI message in a SEI unit.

    Raises:
        CodecError: the unit is damaged.
    """
    body = unit[len(standard.sei_header) :].replace(b"\0\0\3", b"\0\0").rstrip(b"\0")
    if not body.endswith(b"\x80"):
        raise CodecError("a SEI unit has no end")
    body, at = body[:-1], 0
    while at < len(body):
        payload_type, at = _read_number(body, at)
        size, at = _read_number(body, at)
        if at + size > len(body):
            raise CodecError("a SEI message is cut short")
        yield payload_type, body[at : at + size]
        at += size


def insert(stream: bytes, pictures: Sequence[Sequence[bytes]], standard: Standard) -> bytes:
    """Put face messages before the coded pictures that they belong to.

    Args:
        stream: Annex B stream.
        pictures: payloads for each coded picture, in the order of the stream; may be shorter than the stream.

    Raises:
        CodecError: the stream has fewer coded pictures than are given.
    """
    out: list[bytes] = []
    number = 0
    for unit in units(stream):
        if standard.starts_picture(unit):
            payloads = pictures[number] if number < len(pictures) else ()
            out += [sei_unit(payload, standard) for payload in payloads]
            number += 1
        out.append(unit)
    if number < len(pictures):
        raise CodecError(f"the stream has {number} coded pictures; messages for {len(pictures)} were given")
    return b"".join(_START + unit for unit in out)


def extract(stream: bytes, standard: Standard) -> list[list[bytes]]:
    """Face messages' payloads for each coded picture of an Annex B stream, in its order.

    Raises:
        CodecError: a SEI unit is damaged.
    """
    pictures: list[list[bytes]] = []
    waiting: list[bytes] = []
    for unit in units(stream):
        if standard.starts_picture(unit):
            pictures.append(waiting)
            waiting = []
        elif standard.is_sei(unit):
            after = standard.follows_picture(unit) and pictures
            found = [payload for kind, payload in messages(unit, standard) if kind == PAYLOAD_TYPE]
            (pictures[-1] if after else waiting).extend(found)
    return pictures


def _escaped(body: bytes) -> bytes:
    """With emulation prevention: two zero bytes are never followed by one below 4."""
    return re.sub(rb"\0\0(?=[\0-\3])", b"\0\0\3", body)


def _number(value: int) -> bytes:
    return b"\xff" * (value // 255) + bytes([value % 255])


def _read_number(body: bytes, at: int) -> tuple[int, int]:
    value = 0
    while at < len(body) and value <= _MOST_NUMBER:
        value += body[at]
        at += 1
        if body[at - 1] != 255:
            return value, at
    raise CodecError("a SEI message's type or size is damaged")
