"""SEI messages in and out of single packets, as MP4 and Matroska hold them: each NAL unit after its length.

Containers that hold Annex B streams (MPEG transport, raw video) give packets with start codes; both are read and
written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from visavis.codec.sei.annex_b import Standard, messages, sei_unit, units
from visavis.codec.sei.gfv import PAYLOAD_TYPE
from visavis.core.errors import CodecError

_START = b"\0\0\0\1"
#: Where a decoder configuration record tells the size of lengths less one, in the two lowest bits (ISO/IEC 14496-15).
_LENGTH_AT = {Standard.H264: 4, Standard.H265: 21}


@dataclass(frozen=True)
class Packing:
    """How NAL units lie in packets.

    Attributes:
        standard: of the units.
        length_bytes: of the length before each; 0 where they follow start codes.
    """

    standard: Standard
    length_bytes: int

    @classmethod
    def of(cls, standard: Standard, extradata: bytes | None) -> Packing:
        """By the data beside a stream: a configuration record begins with its version, 1; anything else is Annex B."""
        at = _LENGTH_AT[standard]
        if not extradata or extradata[0] != 1 or len(extradata) <= at:
            return cls(standard, 0)
        return cls(standard, (extradata[at] & 3) + 1)

    def units(self, packet: bytes) -> Iterator[bytes]:
        """The NAL units of a packet.

        Raises:
            CodecError: a length reaches beyond the packet.
        """
        if not self.length_bytes:
            yield from units(packet)
            return
        at = 0
        while at < len(packet):
            start = at + self.length_bytes
            at = start + int.from_bytes(packet[at:start], "big")
            if start > len(packet) or at > len(packet):
                raise CodecError("a NAL unit is cut short")
            if at > start:
                yield packet[start:at]

    def insert(self, packet: bytes, payloads: Sequence[bytes]) -> bytes:
        """The packet of one coded picture with face messages before its first slice.

        Raises:
            CodecError: the packet is damaged, or holds no picture.
        """
        out: list[bytes] = []
        waiting = [sei_unit(payload, self.standard) for payload in payloads]
        for unit in self.units(packet):
            if waiting and self.standard.starts_picture(unit):
                out += waiting
                waiting = []
            out.append(unit)
        if waiting:
            raise CodecError("a packet has messages but no picture")
        return b"".join(self._head(unit) + unit for unit in out)

    def extract(self, packet: bytes) -> list[bytes]:
        """Payloads of the face messages in a packet.

        Raises:
            CodecError: the packet or a SEI unit in it is damaged.
        """
        seis = (unit for unit in self.units(packet) if self.standard.is_sei(unit))
        return [payload for unit in seis for kind, payload in messages(unit, self.standard) if kind == PAYLOAD_TYPE]

    def _head(self, unit: bytes) -> bytes:
        if not self.length_bytes:
            return _START
        if len(unit) >= 1 << 8 * self.length_bytes:
            raise CodecError(f"a NAL unit of {len(unit)} bytes does not fit a length of {self.length_bytes} bytes")
        return len(unit).to_bytes(self.length_bytes, "big")
