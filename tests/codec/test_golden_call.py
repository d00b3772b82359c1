"""A frozen call, and a second decoder written from docs/bitstream.md alone: both must agree on every number."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from visavis.codec.bases import DEPARTING, STEADY
from visavis.codec.bitstream import Header, Mode, MotionGroup, PivotFragment, parse
from visavis.codec.entropy import MORE, ZERO
from visavis.codec.motion_coder import Floats, to_pixels
from visavis.codec.pivots import PivotAssembler
from visavis.codec.receiver import MotionReceiver
from visavis.codec.sender import MotionSender
from visavis.codec.transform import plain_table

#: Two keypoints that circle, 32 frames in groups of 4: header, pivot, and 8 motion packets.
CALL = (
    "000100190140020000040000000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f6837ba54c8ce42a206676f6c64656e4d1c670f",
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

STEPS = "4 5 6 7 8 10 11 13 16 19 23 27 32 38 45 54 64 76 91 108 128 152 181 215 256 304 362 431 512 609 724 861"
BIAS = (-9, -6, -3, 0, 3, 6, 9, 14)
FALL = (0, 25, 37, 45, 51, 55, 59, 63)
OFFSETS = (-6, 2, 6, 9, 11, 13)


class SecondDecoder:
    """Sections 1 to 6 for one call of the plain table, without a line of the package's own decoder."""

    def __init__(self) -> None:
        self.reference: list[int] = []
        self.state: list[int] = []

    def take(self, packet: bytes) -> list[list[int]]:
        kind = packet[0] >> 5
        if kind == 0:
            assert zlib.crc32(packet[:-4]) == struct.unpack("<I", packet[-4:])[0]
            numbers, _ = varints(packet, 2, 10)
            self.keypoints, self.frames = numbers[4], numbers[7]
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
        size, width = self.frames, 2 * self.keypoints
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


def packets() -> list[bytes]:
    return [bytes.fromhex(packet) for packet in CALL]


def first_decoder() -> Iterator[list[int]]:
    header = parse(packets()[0])
    assert isinstance(header, Header)
    assembler, references = PivotAssembler(), {}
    receiver = MotionReceiver(header, plain_table(4, 2), references.get)
    for packet in map(parse, packets()):
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
    table = plain_table(4, 2)
    n = np.arange(32)[:, None]
    turn = np.array([[0.02, 0.01, 0.005, 0.03]]) * np.sin(n * np.array([[0.3, 0.2, 0.5, 0.1]]))
    vectors: Floats = (np.array([[0.1, -0.2, 0.3, 0.05]]) + turn).astype(np.float32)
    weights = bytes(range(32))
    header = Header(Mode.ADAPTIVE, Fraction(25), 64, 2, False, 0, 4, 0, False, weights, table.identity, "golden")
    sender = MotionSender(header, table, None)
    reference = np.array(REFERENCE)
    coded = [sender.code(vectors[at : at + 4], 0, reference)[0] for at in range(0, 32, 4)]
    assert header.to_bytes().hex() == CALL[0]
    assert [packet.hex() for packet in coded] == list(CALL[2:])
    assert to_pixels(reference)[0] == REFERENCE[0] / 256
