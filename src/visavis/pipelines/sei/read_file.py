"""What generative face video messages a file holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from visavis.codec.sei.annex_b import Standard
from visavis.codec.sei.gfv import GfvReader
from visavis.codec.sei.message import GfvMessage, MatrixKind
from visavis.codec.sei.packets import Packing
from visavis.core.errors import CodecError, MediaError
from visavis.media.remux import PacketReader

_STANDARDS = {"h264": Standard.H264, "hevc": Standard.H265}


@dataclass(frozen=True)
class Found:
    """A message in a file.

    Attributes:
        picture: number of the coded picture that it belongs to, in the order of the stream.
        time: of that picture in seconds, or None.
        size_bytes: of the payload.
        message: what it says; None where it is damaged.
    """

    picture: int
    time: Fraction | None
    size_bytes: int
    message: GfvMessage | None


def find_messages(file: Path) -> Iterator[Found]:
    """Read a file's face messages one after another, damaged ones as such.

    Raises:
        MediaError: the file cannot be read, or its pictures are of another standard.
    """
    with PacketReader(file) as packets:
        packing, reader = packing_of(packets), GfvReader()
        for number, coded in enumerate(packets):
            try:
                payloads = packing.extract(coded.data)
            except CodecError:
                yield Found(number, coded.time, 0, None)
                continue
            for payload in payloads:
                yield Found(number, coded.time, len(payload), _read(reader, payload))


def read_sei(file: Path) -> dict[str, object]:
    """What face messages a file holds: counts, and a line for each.

    Raises:
        MediaError: the file cannot be read, or its pictures are of another standard.
    """
    with PacketReader(file) as packets:
        standard = packing_of(packets).standard
        pictures = sum(1 for _ in packets)
    lines: list[dict[str, object]] = []
    kinds: Counter[str] = Counter()
    size = damaged = 0
    for found in find_messages(file):
        message, size = found.message, size + found.size_bytes
        if message is None:
            damaged += 1
            continue
        groups = {_kind(group.kind): len(group.values) for group in message.matrices}
        kinds.update({"keypoints": message.points is not None, **dict.fromkeys(groups, 1)})
        lines.append(
            {
                "picture": found.picture,
                "time": None if found.time is None else round(float(found.time), 6),
                "id": message.id,
                "count": message.count,
                "base": message.base,
                "bytes": found.size_bytes,
                "keypoints": 0 if message.points is None else len(message.points),
                "matrices": groups,
            }
        )
    return {
        "file": str(file),
        "standard": standard.value,
        "pictures": pictures,
        "base": sum(1 for line in lines if line["base"]),
        "holding": {kind: count for kind, count in kinds.items() if count},
        "bytes": size,
        "damaged": damaged,
        "messages": lines,
    }


def _kind(number: int) -> str:
    return MatrixKind(number).name.lower() if number in {int(kind) for kind in MatrixKind} else str(number)


def _read(reader: GfvReader, payload: bytes) -> GfvMessage | None:
    try:
        return reader.read(payload)
    except CodecError:
        return None


def packing_of(packets: PacketReader) -> Packing:
    """How NAL units lie in a file's packets.

    Raises:
        MediaError: its pictures are of another standard.
    """
    standard = _STANDARDS.get(packets.codec)
    if standard is None:
        raise MediaError(f"{packets.path}: its pictures are coded as {packets.codec}; messages go into H.264 and H.265")
    return Packing.of(standard, packets.extradata)
