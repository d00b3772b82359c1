"""Packets, files and pivots: read back exactly, readable up to a cut, and refused in one way when damaged."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layouts import six_values
from visavis.codec.bitstream import (
    FRAGMENT_BYTES,
    MOST_PACKET_BYTES,
    End,
    Header,
    Mode,
    MotionGroup,
    Packet,
    PivotFragment,
    PointsGroup,
    Request,
    SoundBundle,
    Wanted,
    parse,
)
from visavis.codec.container import MARK, CallReader, is_call, record
from visavis.codec.fields import ByteReader, unzigzag, write_varint, zigzag
from visavis.codec.motion_coder import MotionDecoder, MotionEncoder
from visavis.codec.pivots import HELD, Pivot, PivotAssembler, PivotStore, fragments, nearest_reference
from visavis.codec.rate import StepControl, budget
from visavis.codec.transform import plain_table
from visavis.core.errors import CodecError, ConfigError

HEADER = Header(
    mode=Mode.ADAPTIVE,
    fps=Fraction(30000, 1001),
    size=256,
    values=106,
    layout=b"abcdefgh",
    group=8,
    interpolated=1,
    has_sound=True,
    weights=bytes(range(32)),
    table=b"12345678",
    model="avfr-256",
)
PACKETS: list[Packet] = [
    HEADER,
    PivotFragment(3, 0, 2, b"abc"),
    MotionGroup(200, 5, True, 14, 3, b"\x01\x02"),
    PointsGroup(7, 2, bytes(80)),
    SoundBundle(300, 3, (b"opus", b"", b"x" * 200)),
    Request(Wanted.PIVOT, 4),
    End(1234),
]
#: Frozen: another decoder was written against these, and files of version 2 hold them.
GOLDEN = {
    "header": "000200b0ea01e90780026a0801016162636465666768000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c"
    "1d1e1f313233343536373808617666722d323536",
    "pivot": "230002616263",
    "motion": "4bc8ae0102",
    "points": "6207" + "00" * 80,
    "sound": "82ac02046f70757300c801" + "78" * 200,
    "request": "a104",
    "end": "c0d209",
}

#: Payload, frames, step, bias and whether absolute; then the first and the last frame that it gives, in units.
GOLDEN_MOTION: dict[tuple[str, int, int, int, bool], list[list[int]]] = {
    ("53c7d184e07babb5d50fe555ab6ae96ca31206530cb0", 8, 16, 3, True): [
        [250, -144, 66, 9, 494, -781],
        [2077, -1014, 496, 9, 4096, -6124],
    ],
    ("4688ff787228627a86c36fe3b97764", 4, 12, 2, False): [
        [2059, -1018, 508, 2, 4096, -6160],
        [1287, -620, 315, -12, 2571, -3847],
    ],
}


def test_golden_packets_are_written_and_read_for_ever():
    for packet, (name, wanted) in zip(PACKETS, GOLDEN.items(), strict=True):
        written = packet.to_bytes()
        assert (written[:-4] if name == "header" else written).hex() == wanted, name
        assert parse(written) == packet


def test_golden_motion_is_read_the_same_for_ever():
    """Whole numbers alone decide these frames, so they are the same on every machine."""
    table, reference = plain_table(six_values()), np.full(6, 32, np.int64)
    decoder = MotionDecoder(table)
    for (payload, frames, step, bias, absolute), wanted in GOLDEN_MOTION.items():
        group = decoder.decode(bytes.fromhex(payload), frames, step, bias, reference if absolute else None)
        assert group[[0, -1]].tolist() == wanted


def test_golden_motion_is_what_the_encoder_writes():
    encoder = MotionEncoder(plain_table(six_values()), thrift=0)
    frames = np.outer(np.arange(1, 9), [1, -0.5, 0.25, 0, 2, -3]).astype(np.float32)
    written = []
    for part, step, reference in ((frames, 16, np.full(6, 32, np.int64)), (frames[:3:-1], 12, None)):
        payload, bias, group = encoder.encode(part, step, reference)
        written.append(((payload.hex(), len(part), step, bias, reference is not None), group[[0, -1]].tolist()))
    assert written == list(GOLDEN_MOTION.items())


@given(st.integers(0, (1 << 35) - 1))
def test_varints_come_back(value: int):
    assert ByteReader(write_varint(value), "number").varint(most=1 << 35) == value


@given(st.integers(-(1 << 30), 1 << 30))
def test_zigzag_comes_back(value: int):
    assert unzigzag(zigzag(value)) == value


@pytest.mark.parametrize("version", [1, 9])
def test_a_header_of_another_version_is_named(version: int):
    data = bytearray(HEADER.to_bytes())
    data[1] = version
    with pytest.raises(CodecError, match=f"version {version} of the format; this visavis reads version 2"):
        parse(bytes(data))


#: As version 1 wrote it: keypoints, jacobians and mesh values in place of a layout.
OF_VERSION_1 = (
    "000100190140020000040000000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f6837ba54c8ce42a206676f6c64"
    "656e4d1c670f"
)


def test_a_call_of_version_1_is_refused_in_words():
    with pytest.raises(CodecError, match="version 1 of the format; this visavis reads version 2"):
        parse(bytes.fromhex(OF_VERSION_1))


@pytest.mark.parametrize("values", [0, 4097])
def test_motion_of_no_values_or_too_many_is_refused(values: int):
    with pytest.raises(CodecError, match="1 to 4096"):
        parse(replace(HEADER, values=values).to_bytes())


def test_a_header_with_one_wrong_bit_is_refused():
    good = HEADER.to_bytes()
    for at in range(2, len(good)):
        bad = bytearray(good)
        bad[at] ^= 4
        with pytest.raises(CodecError):
            parse(bytes(bad))


@given(st.binary(max_size=MOST_PACKET_BYTES + 20))
@settings(max_examples=400)
def test_any_bytes_are_a_packet_or_one_error(data: bytes):
    try:
        packet = parse(data)
    except CodecError:
        return
    if packet.kind != SoundBundle.kind and packet.kind != End.kind and packet.kind != Header.kind:
        assert packet.to_bytes() == data


@given(st.sampled_from(PACKETS), st.integers(0, 400), st.binary(min_size=1, max_size=4))
@settings(max_examples=400)
def test_a_good_packet_gone_bad_is_a_packet_or_one_error(packet: Packet, at: int, patch: bytes):
    good = packet.to_bytes()
    at %= len(good)
    for bad in (good[:at] + patch + good[at + len(patch) :], good[:at], good + patch):
        try:
            parse(bad)
        except CodecError as error:
            assert "\n" not in str(error)


def write_call(path: Path, packets: list[bytes]) -> Path:
    path.write_bytes(MARK + b"".join(map(record, packets)))
    return path


def test_a_file_reads_back_and_a_cut_file_reads_up_to_the_cut(tmp_path: Path):
    packets = [packet.to_bytes() for packet in PACKETS]
    whole = write_call(tmp_path / "call.vsv", packets)
    reader = CallReader(whole)
    assert list(reader) == packets
    assert not reader.cut
    data = whole.read_bytes()
    ends = [len(MARK) + sum(len(record(p)) for p in packets[:n]) for n in range(len(packets) + 1)]
    for at in range(len(MARK), len(data)):
        (tmp_path / "cut.vsv").write_bytes(data[:at])
        reader = CallReader(tmp_path / "cut.vsv")
        read = list(reader)
        assert read == packets[: sum(end <= at for end in ends) - 1]
        assert reader.cut == (at not in ends)


def test_what_is_no_call_is_refused_in_words(tmp_path: Path):
    other = tmp_path / "other.vsv"
    other.write_bytes(b"RIFFxxxx")
    assert not is_call(other)
    with pytest.raises(CodecError, match="is not a call"):
        list(CallReader(other))
    with pytest.raises(CodecError, match="no such file"):
        list(CallReader(tmp_path / "missing.vsv"))
    other.write_bytes(MARK + b"\x80\x7f" + bytes(99))
    with pytest.raises(CodecError, match="is damaged"):
        list(CallReader(other))


@given(st.binary(max_size=600))
def test_any_file_is_a_call_or_one_error(tmp_path_factory: pytest.TempPathFactory, data: bytes):
    path = tmp_path_factory.getbasetemp() / "any.vsv"
    path.write_bytes(MARK + data)
    try:
        for packet in CallReader(path):
            parse(packet)
    except CodecError:
        return


def pivot(picture: bytes = b"p" * 2500) -> Pivot:
    return Pivot(nearest_reference(np.arange(-2000, 2000, 400)), picture)


def test_a_pivot_comes_back_from_its_pieces_in_any_order_doubled_or_not():
    pieces = [parse(packet) for packet in fragments(pivot(), 11)]
    assert len(pieces) == 3
    assert all(len(p.to_bytes()) <= MOST_PACKET_BYTES for p in pieces)
    assembler = PivotAssembler()
    order = [2, 0, 2, 1]
    found = [assembler.push(pieces[i]) for i in order if isinstance(pieces[i], PivotFragment)]
    assert found[:3] == [None, None, None]
    made = found[3]
    assert made is not None
    assert made.picture == pivot().picture
    assert (made.reference == pivot().reference).all()
    assert pieces[0].number == 3


def test_a_pivot_with_a_wrong_byte_is_refused():
    data = bytearray(pivot().to_bytes())
    data[700] ^= 1
    with pytest.raises(CodecError, match="check sum"):
        Pivot.parse(bytes(data))


def test_pieces_that_never_become_whole_do_not_pile_up():
    assembler = PivotAssembler()
    tracemalloc.start()
    for n in range(5000):
        assembler.push(PivotFragment(n % 8, n % 63, 64, bytes(FRAGMENT_BYTES)))
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert held < 1_000_000


def test_both_stores_hold_the_newest_and_know_a_lost_one_from_an_old_one():
    sender, receiver = PivotStore[str](), PivotStore[str]()
    for number in range(20):
        sender.put(number % 8, f"pivot {number}")
        if number != 17:
            receiver.put(number % 8, f"pivot {number}")
    assert [name for _, name in sender.items()] == ["pivot 16", "pivot 17", "pivot 18", "pivot 19"]
    assert receiver.get(17 % 8) is None
    assert receiver.get(18 % 8) == "pivot 18"
    # Motion names a pivot that never came: what is eight older must not stand in for it.
    receiver.see(20 % 8)
    assert receiver.get(20 % 8) is None
    assert len(receiver.items()) <= HELD


def test_the_step_finds_the_rate_and_keeps_it():
    """Motion that costs four times the target at the default step, and halves with each octave of the step."""
    control = StepControl(1000.0)
    spent = []
    for _ in range(400):
        bits = int(4 * 1000 * 0.32 * 2 ** (-(control.step - 14) / 4))
        spent.append(bits)
        control.spent(bits, 0.32)
    assert abs(sum(spent[100:]) / (300 * 0.32) / 1000 - 1) < 0.1


def test_rates_out_of_range_are_refused():
    for kbps in (0.1, 1000.0, float("nan")):
        with pytest.raises(ConfigError, match="kbps"):
            budget(kbps)
    assert budget(None).motion_bits is None
    assert budget(2).pivot_bytes < budget(8).pivot_bytes
