"""Frozen calls, and a second decoder written from docs/bitstream.md alone: both must agree on every number."""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import accumulate

import numpy as np

from layouts import morphable, points
from visavis.codec.bases import DEPARTING, STEADY
from visavis.codec.bitstream import Header, Mode, MotionGroup, PivotFragment, parse
from visavis.codec.entropy import MORE, ZERO
from visavis.codec.motion_coder import Floats, to_pixels
from visavis.codec.pivots import PivotAssembler
from visavis.codec.receiver import MotionReceiver
from visavis.codec.sender import MotionSender
from visavis.codec.transform import plain_table
from visavis.motion.layout import Layout

#: Two keypoints that circle, 32 frames in groups of 4: header, pivot, and 8 motion packets.
CALL = (
    "00020019014004040000119e69720113a823000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
    "6837ba54c8ce42a206676f6c64656e4a560019",
    "20000104cc019903e604666e6f74206465636f6465642068657265752e7bbf",
    "48000e8f56717d75bca6",
    "40010ebb32f1d973",
    "40020e332a3f64f0d4",
    "40030e3707ed377d",
    "40040e9a208e4d5fc0",
    "40050e2f8f739f2fbc",
    "48060e49d2add53df3",
    "40070e3fa1e412ad8c",
)
#: Frames 0, 3, 4, 9, 15, 23 and 31 of it, in units.
FRAMES = [
    [3321, -6558, 9848, 1643],
    [3792, -6382, 10025, 1936],
    [3885, -6331, 9979, 2013],
    [3561, -6227, 9663, 2411],
    [2638, -6493, 9988, 2611],
    [3644, -6877, 9696, 2381],
    [3342, -6590, 9882, 1703],
]
REFERENCE = [3264, -6560, 9824, 1632]

#: Motion of eight values, four of which belong to the person; 16 frames in groups of 4.
HELD_CALL = (
    "0002001901400804000093a174279d6f3a83000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
    "5b0e7c2c4f539ccd06676f6c64656e09d3e5c7",
    "20000104200f1a256e6f74206465636f646564206865726529a1745f",
    "48000e05fe9958bf80",
    "40010ee46da010",
    "40020e9c06109d20",
    "40030e0b2191fce0",
)
#: Its parts as section 7 writes them: name, number of values, scale, whether they are held.
HELD_PARTS = (("identity", 3, 0.5, True), ("expression", 2, 0.1, False), ("light", 1, 1.0, True))
HELD_PARTS += (("camera", 2, 0.25, False),)
HELD_REFERENCE = [512, -256, 416, -608]
PIVOT_VECTOR = [1.1, -2.1, 0.6, 0.15, -0.05, 3.1, 0.3, -0.5]

TWO_POINTS = points(2)

STEPS = "4 5 6 7 8 10 11 13 16 19 23 27 32 38 45 54 64 76 91 108 128 152 181 215 256 304 362 431 512 609 724 861"
BIAS = (-9, -6, -3, 0, 3, 6, 9, 14)
FALL = (0, 25, 37, 45, 51, 55, 59, 63)
OFFSETS = (-6, 2, 6, 9, 11, 13)


class SecondDecoder:
    """Sections 1 to 6 for calls of the plain table, without a line of the package's own decoder."""

    def __init__(self) -> None:
        self.reference: list[int] = []
        self.state: list[int] = []

    def take(self, packet: bytes) -> list[list[int]]:
        kind = packet[0] >> 5
        if kind == 0:
            assert zlib.crc32(packet[:-4]) == struct.unpack("<I", packet[-4:])[0]
            numbers, at = varints(packet, 2, 8)
            self.values, self.frames, self.layout = numbers[4], numbers[5], packet[at : at + 8]
            self.table = packet[at + 40 : at + 48]
        elif kind == 1:
            assert packet[1:3] == bytes([0, 1])  # a single fragment
            (count,), at = varints(packet, 3, 1)
            zigzag, _ = varints(packet, at, count)
            self.reference = [(n >> 1 if n % 2 == 0 else -(n + 1 >> 1)) * 32 for n in zigzag]
        elif kind == 2:
            return self.motion(packet)
        return []

    def motion(self, packet: bytes) -> list[list[int]]:
        absolute, bias, step = packet[0] >> 3 & 1, packet[0] & 7, packet[2] & 31
        size, width = self.frames, len(self.reference)
        self.read_from(packet[3:])
        q = [[0] * width for _ in range(size)]
        octave = (1, 2, 4, 8).index(size)
        for k in range(size):
            for j in range(width):
                level = 80 + 4 * octave if absolute and k == 0 else 56 + 12 * octave - FALL[k]
                around = min(abs(q[k - 1][j]), 2) if k else 0
                around += min(abs(q[k - 2][j]), 1) if k > 1 else 0
                around += min(abs(q[k][j - 1]), 2) if j else 0
                q[k][j] = self.integer(level + OFFSETS[min(around, 5)] + BIAS[bias] - 16 - 2 * step)
        matrix = (STEADY if absolute else DEPARTING)[size].tolist()
        start, unit = (self.reference if absolute else self.state), int(STEPS.split()[step])
        group = [
            [start[j] + ((sum(matrix[k][i] * q[k][j] * unit for k in range(size)) + 8192) >> 14) for j in range(width)]
            for i in range(size)
        ]
        self.state = group[-1]
        return group

    def read_from(self, payload: bytes) -> None:
        self.bytes = iter([*payload, *bytes(64)])
        self.range, self.code = 2**32 - 1, 0
        for _ in range(4):
            self.code = self.code << 8 | next(self.bytes)

    def decision(self, p: int) -> bool:
        bound = (self.range >> 16) * p
        one = self.code < bound
        if one:
            self.range = bound
        else:
            self.code, self.range = self.code - bound, self.range - bound
        while self.range < 2**24:
            self.code, self.range = (self.code << 8 | next(self.bytes)) % 2**32, (self.range << 8) % 2**32
        return one

    def plain(self, count: int) -> int:
        number = 0
        for _ in range(count):
            number = 2 * number + self.decision(2**15)
        return number

    def integer(self, level: int) -> int:
        low = max(0, -((16 - level) // 8))
        row = max(level - 8 * low, -64) + 64
        high = 0
        if not self.decision(ZERO[row]):
            high, more = 1, 0
            while more < 24 and self.decision(MORE[row]):
                more += 1
            high += more
            if more == 24:
                exponent = 0
                while self.plain(1):
                    exponent += 1
                high += 2**exponent - 1 + self.plain(exponent)
        magnitude = high << low | self.plain(low)
        return -magnitude if magnitude and self.plain(1) else magnitude


def varints(data: bytes, at: int, count: int) -> tuple[list[int], int]:
    """``count`` varints from ``at`` on, and where they end."""
    numbers = []
    for _ in range(count):
        number = shift = 0
        while True:
            number |= (data[at] & 0x7F) << shift
            shift, at = shift + 7, at + 1
            if data[at - 1] < 0x80:
                break
        numbers.append(number)
    return numbers, at


def packets(call: Sequence[str] = CALL) -> list[bytes]:
    return [bytes.fromhex(packet) for packet in call]


def first_decoder(call: Sequence[str] = CALL, layout: Layout = TWO_POINTS) -> Iterator[list[int]]:
    header = parse(packets(call)[0])
    assert isinstance(header, Header)
    assert (header.values, header.layout, header.table) == (
        layout.size,
        layout.identity,
        plain_table(layout).identity,
    )
    assembler, references = PivotAssembler(), {}
    receiver = MotionReceiver(header, plain_table(layout), references.get)
    for packet in map(parse, packets(call)):
        if isinstance(packet, PivotFragment):
            pivot = assembler.push(packet)
            assert pivot is not None and pivot.picture == b"not decoded here"
            references[packet.number] = pivot.reference
        elif isinstance(packet, MotionGroup):
            for run in receiver.push(packet):
                assert run.values is not None and not run.concealed
                yield from np.rint(run.values * 256).astype(int).tolist()


def test_the_frozen_call_gives_the_frozen_motion():
    frames = list(first_decoder())
    assert len(frames) == 32
    assert [frames[n] for n in (0, 3, 4, 9, 15, 23, 31)] == FRAMES


def test_a_decoder_written_from_the_document_agrees_on_every_number():
    second = SecondDecoder()
    frames = [frame for packet in packets() for frame in second.take(packet)]
    assert second.reference == REFERENCE
    assert frames == list(first_decoder())


def test_the_frozen_call_is_what_is_written():
    table = plain_table(TWO_POINTS)
    n = np.arange(32)[:, None]
    turn = np.array([[0.02, 0.01, 0.005, 0.03]]) * np.sin(n * np.array([[0.3, 0.2, 0.5, 0.1]]))
    vectors: Floats = (np.array([[0.1, -0.2, 0.3, 0.05]]) + turn).astype(np.float32)
    weights = bytes(range(32))
    layout = TWO_POINTS.identity
    header = Header(Mode.ADAPTIVE, Fraction(25), 64, 4, layout, 4, 0, False, weights, table.identity, "golden")
    sender = MotionSender(header, table, None)
    reference = np.array(REFERENCE)
    coded = [sender.code(vectors[at : at + 4], 0, reference)[0] for at in range(0, 32, 4)]
    assert header.to_bytes().hex() == CALL[0]
    assert [packet.hex() for packet in coded] == list(CALL[2:])
    assert to_pixels(reference)[0] == REFERENCE[0] / 256


def f32(value: float) -> float:
    """The nearest number of single precision."""
    return float(struct.unpack("<f", struct.pack("<f", value))[0])


def table_of(scales: Sequence[float], held: Sequence[bool], keypoints: Sequence[int]) -> bytes:
    """The identity of a plain table as section 7 has it."""
    size, sent = len(scales), [place for place, of_person in enumerate(held) if not of_person]
    moving, fall, steady = len(sent), [0] * 15, [0] * 15
    for octave, frames in enumerate((1, 2, 4, 8)):
        for k in range(frames):
            fall[frames - 1 + k] = 56 + 12 * octave - FALL[k]
            steady[frames - 1 + k] = fall[frames - 1 + k] if k else 80 + 4 * octave

    def rows(numbers: Sequence[float], places: Sequence[int]) -> bytes:
        chosen = zip(numbers, places, strict=True)
        return b"".join(struct.pack(f"<{size}f", *(x * (at == d) for d in range(size))) for x, at in chosen)

    def levels(column: Sequence[int]) -> bytes:
        return struct.pack(f"<{15 * moving}h", *(level for level in column for _ in sent))

    arrays = (
        ("mean", (size,), bytes(4 * size)),
        ("analysis", (moving, size), rows([1 / f32(scales[at]) for at in sent], sent)),
        ("synthesis", (moving, size), rows([scales[at] for at in sent], sent)),
        ("from_points", (len(keypoints), size), rows([1.0] * len(keypoints), keypoints)),
        ("levels", (15, moving), levels(fall)),
        ("absolute", (15, moving), levels(steady)),
        ("offsets", (6,), struct.pack("<6h", *OFFSETS)),
    )
    return hashlib.sha256(
        b"".join(name.encode() + str(shape).encode() + data for name, shape, data in arrays)
    ).digest()[:8]


def test_layouts_and_tables_are_named_as_the_document_says():
    """The words and numbers are those of section 7, written out again here."""
    second = SecondDecoder()
    second.take(packets()[0])
    text = "keypoints\nkeypoints (2, 2) crop False"
    assert second.values == 4 and second.layout == hashlib.sha256(text.encode()).digest()[:8]
    assert second.table == table_of([1 / 128] * 4, [False] * 4, range(4))
    second.take(packets(HELD_CALL)[0])
    units = ("coefficient", "coefficient", "coefficient", "mixed")
    lines = [f"{name} ({count},) {unit} {held}" for (name, count, _, held), unit in zip(HELD_PARTS, units, strict=True)]
    assert second.values == 8
    assert second.layout == hashlib.sha256("\n".join(["morphable", *lines]).encode()).digest()[:8]
    scales = [scale for _, count, scale, _ in HELD_PARTS for _ in range(count)]
    held = [of_person for _, count, _, of_person in HELD_PARTS for _ in range(count)]
    assert second.table == table_of(scales, held, [])


def test_values_of_the_person_come_from_the_pivot_and_the_others_from_the_stream():
    second = SecondDecoder()
    frames = [frame for packet in packets(HELD_CALL) for frame in second.take(packet)]
    assert second.reference == HELD_REFERENCE and len(frames) == 16
    assert frames == list(first_decoder(HELD_CALL, morphable()))
    made = plain_table(morphable()).rebuild(np.array(frames, np.float32) / 256, np.array(PIVOT_VECTOR, np.float32))
    starts = [0, *accumulate(count for _, count, _, _ in HELD_PARTS)]
    column = 0
    for (name, count, scale, held), start in zip(HELD_PARTS, starts, strict=False):
        for value in range(start, start + count):
            wanted = [PIVOT_VECTOR[value]] * 16
            if not held:
                wanted = [frame[column] / 256 * scale for frame in frames]
                column += 1
            assert np.allclose(made[:, value], wanted, atol=1e-6), name


def test_the_frozen_call_of_a_person_is_what_is_written():
    layout, table = morphable(), plain_table(morphable())
    n = np.arange(16)[:, None]
    waves = np.sin(n * np.array([[0.3, 0.2, 0.5, 0.4, 0.1, 0.7, 0.6, 0.25]]))
    still = np.array([[1, -2, 0.5, 0.2, -0.1, 3, 0.4, -0.6]])
    vectors: Floats = (still + np.array([[9, 9, 9, 0.05, 0.1, 9, 0.02, 0.2]]) * waves).astype(np.float32)
    names = (layout.identity, 4, 0, False, bytes(range(32)), table.identity, "golden")
    header = Header(Mode.ADAPTIVE, Fraction(25), 64, 8, *names)
    sender = MotionSender(header, table, None)
    coded = [sender.code(vectors[at : at + 4], 0, np.array(HELD_REFERENCE))[0] for at in range(0, 16, 4)]
    assert [packet.hex() for packet in (header.to_bytes(), *coded)] == [HELD_CALL[0], *HELD_CALL[2:]]
