"""What a call is made of: packets and bytes by kind, without decoding it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from visavis.codec.bitstream import End, Header, MotionGroup, PivotFragment, PointsGroup, SoundBundle, parse
from visavis.codec.container import MARK, CallReader, record
from visavis.core.errors import CodecError

_KINDS = ("pivots", "motion", "audio")


class Census:
    """Counts packets as they go by.

    Attributes:
        frames: of the call, once its end is told.
        pivots: told so far.
    """

    def __init__(self) -> None:
        self.header: Header | None = None
        self.frames = self.pivots = self.absolute = 0
        self.packets: Counter[str] = Counter()
        self._sizes: Counter[str] = Counter()
        self._total = len(MARK)

    def count(self, data: bytes) -> None:
        """Count one packet.

        Raises:
            CodecError: it is damaged; its bytes are counted all the same.
        """
        size = len(record(data))
        self._total += size
        packet = parse(data)
        self.packets[packet.kind.name.lower()] += 1
        if isinstance(packet, PivotFragment):
            self._sizes["pivots"] += len(packet.data)
        elif isinstance(packet, MotionGroup | PointsGroup):
            self._sizes["motion"] += len(packet.payload)
        elif isinstance(packet, SoundBundle):
            self._sizes["audio"] += size
        if isinstance(packet, Header):
            self.header = self.header or packet
        elif isinstance(packet, End):
            self.frames = packet.frames
        elif isinstance(packet, PivotFragment):
            self.pivots += packet.index == 0
        elif isinstance(packet, MotionGroup):
            self.absolute += packet.absolute

    @property
    def bytes(self) -> dict[str, int]:
        """Payloads of pivots and motion, sound packets whole, and ``header`` for all that is around the former."""
        around = self._total - sum(self._sizes[kind] for kind in _KINDS)
        return {"header": around, **{kind: self._sizes[kind] for kind in _KINDS}, "total": self._total}

    def rates(self) -> dict[str, float | None]:
        """``video_kbps`` (all that is not sound), ``audio_kbps``, ``bpp``; None for a call of unknown length."""
        if self.header is None or not self.frames:
            return {"video_kbps": None, "audio_kbps": None, "bpp": None}
        seconds = float(self.frames / self.header.fps)
        sound = self._sizes["audio"]
        video_bits = 8 * (self._total - sound)
        return {
            "video_kbps": round(video_bits / seconds / 1000, 4),
            "audio_kbps": round(8 * sound / seconds / 1000, 4),
            "bpp": round(video_bits / (self.frames * self.header.size**2), 7),
        }


def describe_call(path: Path) -> dict[str, Any]:
    """Describe a file; damaged packets are counted, a file without a header is refused.

    Raises:
        CodecError: it is no call, or its header cannot be read.
    """
    census, reader, damaged = Census(), CallReader(path), 0
    for data in reader:
        try:
            census.count(data)
        except CodecError as error:
            if census.header is None:
                raise CodecError(f"{path}: {error}") from error
            damaged += 1
    header = census.header
    if header is None:
        raise CodecError(f"{path}: has no header")
    return {
        "file": str(path),
        "mode": header.mode.name.lower(),
        "model": header.model,
        "weights": header.weights.hex(),
        "fps": round(float(header.fps), 6),
        "frames": census.frames,
        "seconds": round(float(census.frames / header.fps), 6),
        "size": header.size,
        "values": header.values,
        "layout": header.layout.hex(),
        "group": header.group,
        "interpolate": header.interpolated,
        "sound": header.has_sound,
        "pivots": census.pivots,
        "absolute_groups": census.absolute,
        "packets": dict(census.packets),
        "bytes": census.bytes,
        **census.rates(),
        "damaged": damaged,
        "cut": reader.cut,
    }
