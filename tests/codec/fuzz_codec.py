"""Coverage-guided fuzzing of all that reads a stranger's bytes: ``python fuzz_codec.py TARGET [libFuzzer options]``.

A finding is any exception but `CodecError`, a hang (``-timeout``), or an allocation beyond ``-malloc_limit_mb``.
`test_fuzz.py` runs it for a minute; for a night, give ``-max_total_time=28800``.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["visavis.codec"]):
    from visavis.codec.bitstream import Header, MotionGroup, PivotFragment, PointsGroup, parse
    from visavis.codec.container import MARK, CallReader, record
    from visavis.codec.pivots import PivotAssembler, PivotStore
    from visavis.codec.receiver import MotionReceiver
    from visavis.codec.sei.annex_b import Standard, extract
    from visavis.codec.sei.gfv import GfvReader
    from visavis.codec.sei.packets import Packing
    from visavis.codec.transform import plain_table
    from visavis.core.errors import CodecError

from test_gfv_sei import BASE_BITS, by_hand
from test_golden_call import CALL, HELD_CALL, TWO_POINTS

from layouts import morphable
from visavis.motion.layout import Layout

FILE = Path(tempfile.mkdtemp()) / "call.vsv"


def read_packet(data: bytes) -> None:
    """One packet."""
    parse(data)


def read_call(data: bytes, layout: Layout = TWO_POINTS) -> None:
    """A file of packets, followed as far as motion goes, of keypoints by default."""
    FILE.write_bytes(MARK + data)
    table = plain_table(layout)
    receiver: MotionReceiver | None = None
    assembler, references = PivotAssembler(), PivotStore()
    for packet in map(_parsed, CallReader(FILE)):
        if isinstance(packet, Header) and receiver is None:
            receiver = MotionReceiver(packet, table, references.get)
        elif isinstance(packet, PivotFragment):
            pivot = assembler.push(packet)
            if pivot is not None and len(pivot.reference) == table.components:
                references.put(packet.number, pivot.reference)
        elif isinstance(packet, MotionGroup | PointsGroup) and receiver is not None:
            receiver.push(packet)
    if receiver is not None:
        receiver.finish()


def _parsed(packet: bytes) -> object:
    try:
        return parse(packet)
    except CodecError:
        return None


def read_sei(data: bytes) -> None:
    """Messages within an elementary stream and within packets, and the bytes as one message."""
    for standard in Standard:
        reader = GfvReader()
        for size in (0, 1, 2, 4):
            packing = Packing(standard, size)
            _caught(lambda packing=packing: [packing.extract(data), [packing.insert(data, [b"\1"])]])
        for picture in _caught(lambda standard=standard: extract(data, standard)):
            for payload in picture:
                _caught(lambda payload=payload, reader=reader: [reader.read(payload)])
    GfvReader().read(data)


def _caught(read: Callable[[], list[list[bytes]]]) -> list[list[bytes]]:
    try:
        return read()
    except CodecError:
        return []


def read_held(data: bytes) -> None:
    """A call of coefficients, some of which belong to the person and come with pivots."""
    read_call(data, morphable())


TARGETS = {"packet": read_packet, "call": read_call, "held": read_held, "sei": read_sei}


def seeds(target: str) -> Iterator[bytes]:
    """Good bytes to begin with."""
    points, held = ([bytes.fromhex(packet) for packet in packets] for packets in (CALL, HELD_CALL))
    calls = {"call": [b"".join(map(record, points))], "held": [b"".join(map(record, held))]}
    yield from {"packet": [*points, *held], **calls, "sei": [by_hand(BASE_BITS)]}[target]


def main() -> None:
    """Fuzz until told to stop."""
    target = sys.argv.pop(1)
    corpus = Path(tempfile.mkdtemp())
    for number, seed in enumerate(seeds(target)):
        (corpus / str(number)).write_bytes(seed)

    def once(data: bytes) -> None:
        try:
            TARGETS[target](data)
        except CodecError as error:
            assert "\n" not in str(error)

    atheris.Setup([*sys.argv, str(corpus)], once)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
