"""The generative face video SEI message: bits as in the syntax, closed loop, and streams that others still decode."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visavis.codec.sei.annex_b import Standard, extract, insert, messages, sei_unit, units
from visavis.codec.sei.gfv import PAYLOAD_TYPE, GfvReader, GfvWriter, Rounding
from visavis.codec.sei.message import ChromaKey, GfvMessage, Matrices, MatrixKind, NetworkAddress, motion_message
from visavis.codec.sei.packets import Packing
from visavis.codec.syntax import BitReader, BitWriter
from visavis.core.errors import CodecError
from visavis.drawn.synthetic import draw

# By hand from the syntax table, one field a word. ue(v): 0 is 1, 1 is 010, 2 is 011, 3 is 00100, 4 is 00101, 8 is
# 0001001.
BASE_BITS = """
    1 1 1 ; id 0, count 0, base picture
    0 0 ; no network, no colour key
    0 ; not of low confidence
    1 0 00100 010 0 ; points, not predicted, 3 + 1 binary places, 1 + 1 points, no z
    0001001 0 00101 1 ; x +8/16, y -4/16
    1 010 0 ; x 0, y +1/16
    1 010 1 ; matrices, 1 + 1 binary places, 0 + 1 kinds
    000000 1 ; kind 0, as many as points
    010 00 0  1 01 0 ; +1.00 +0.25
    1 10 1  1 11 0 ; -0.50 +0.75
    010 00 0  1 00 ; +1.00  0
    1 00  010 00 0 ; 0    +1.00
"""
FIRST_BITS = """
    1 1 0 0 1 ; id 0, count 0, no base picture, no fusion, of low confidence
    1 1 ; points, predicted
    011 0 010 1  1 1 ; +2/16 -1/16, 0 0
    1 1 ; matrices, predicted
    1 010 0 ; +0.25, where the binary part is ue(v)
    1 1  1 1  1 1  1 1  1 1  1 1  1 1 ; the others stay
"""
SECOND_BITS = """
    1 010 0 0 ; id 0, count 1, no fusion, sure
    1 1 ; points, predicted
    1 1  011 1 1 ; 0 0, -2/16 0
    0 ; no matrices
"""
BASE_POINTS = np.array([[0.5, -0.25], [0, 0.0625]])
BASE_JACOBIANS = np.array([[[1, 0.25], [-0.5, 0.75]], [[1, 0], [0, 1]]])


def by_hand(bits: str) -> bytes:
    """Bits in words, with remarks after semicolons, closed as a SEI payload is."""
    digits = "".join(word for line in bits.splitlines() for word in line.split(";")[0].split())
    if len(digits) % 8:
        digits += "1"
        digits += "0" * (-len(digits) % 8)
    return int(digits, 2).to_bytes(len(digits) // 8, "big")


def test_bits_written_by_hand_are_read():
    reader = GfvReader()
    base = reader.read(by_hand(BASE_BITS))
    assert base.base and (base.id, base.count, base.point_bits, base.matrix_bits) == (0, 0, 4, 2)
    np.testing.assert_array_equal(base.points, BASE_POINTS)
    assert base.matrices[0].kind == MatrixKind.AFFINE
    np.testing.assert_array_equal(base.matrices[0].values, BASE_JACOBIANS)
    first = reader.read(by_hand(FIRST_BITS))
    assert first.low_confidence and first.predict_points and first.predict_matrices and not first.base
    np.testing.assert_array_equal(first.points, BASE_POINTS + [[2 / 16, -1 / 16], [0, 0]])
    np.testing.assert_array_equal(first.matrices[0].values[0], [[1.25, 0.25], [-0.5, 0.75]])
    second = reader.read(by_hand(SECOND_BITS))
    np.testing.assert_array_equal(second.points, BASE_POINTS + [[2 / 16, -1 / 16], [-2 / 16, 0]])
    assert second.count == 1 and second.matrices == ()


def test_the_same_bits_are_written():
    writer = GfvWriter()
    base = motion_message(BASE_POINTS, BASE_JACOBIANS, base=True, point_bits=4, matrix_bits=2)
    assert writer.write(base)[0] == by_hand(BASE_BITS)
    moved = BASE_JACOBIANS.copy()
    moved[0, 0, 0] += 0.25
    points = BASE_POINTS + [[2 / 16, -1 / 16], [0, 0]]
    predicted = {"predict_points": True, "predict_matrices": True}
    assert writer.write(motion_message(points, moved, low_confidence=True, **predicted))[0] == by_hand(FIRST_BITS)
    points = points - [[0, 0], [2 / 16, 0]]
    assert writer.write(motion_message(points, count=1, predict_points=True))[0] == by_hand(SECOND_BITS)


def test_network_and_colour_key_have_their_places():
    bits = """
        1 1 1 1 010 ; id, count, base, network, mode 1
        0 ; alignment
        01000001 00000000 ; tag A
        01000010 00000000 ; uri B
        1 1 00110010 0 0 ; key, Y is 50
        1 00101 0 ; first threshold is 4
        0 1 0 1 1 0 ; points: 0 + 1 places, 0 + 1 points
        1 1 0 ; at 0, 0; no matrices
    """
    message = GfvReader().read(by_hand(bits))
    assert message.network == NetworkAddress("A", "B")
    assert message.chroma_key == ChromaKey((50, None, None), (4, None))
    again, _ = GfvWriter().write(message)
    assert again == by_hand(bits)
    network = GfvMessage(np.zeros((1, 2)), base=True, network=bytes(range(20)))
    assert GfvReader().read(GfvWriter().write(network)[0]).network == bytes(range(20))


def walk(seed: int, steps: int, points: int = 10) -> list[tuple[np.ndarray, np.ndarray]]:
    """A random walk of keypoints and jacobians."""
    random = np.random.default_rng(seed)
    moves = random.normal(0, 0.02, (steps, points, 6)).cumsum(0)
    where = np.clip(moves[..., :2] + random.uniform(-0.5, 0.5, (points, 2)), -1, 1)
    return list(zip(where, np.eye(2) + moves[..., 2:].reshape(steps, points, 2, 2), strict=True))


@pytest.mark.parametrize(("rounding", "steps_off"), [(Rounding.NEAREST, 0.5), (Rounding.REFERENCE, 1.5)])
def test_error_stays_within_its_bound_for_ever(rounding: Rounding, steps_off: float):
    writer, reader = GfvWriter(rounding), GfvReader()
    for number, (points, jacobians) in enumerate(walk(1, 400)):
        predicted = {"predict_points": number > 0, "predict_matrices": number > 0}
        count = max(number - 1, 0)
        message = motion_message(points, jacobians, base=number == 0, count=count, point_bits=6, **predicted)
        payload, promised = writer.write(message)
        read = reader.read(payload)
        np.testing.assert_array_equal(read.points, promised.points)
        np.testing.assert_array_equal(read.matrices[0].values, promised.matrices[0].values)
        assert np.abs(read.points - points).max() <= steps_off / 64 + 1e-12
        assert np.abs(read.matrices[0].values - jacobians).max() <= 1 / 256 + 1e-12


def test_the_reference_software_cuts_towards_zero():
    """(int)(v * 2^f + 0.5): -1.49 steps become 0; nearest makes -1 of them. The reader follows both."""
    for rounding, steps in ((Rounding.REFERENCE, 0), (Rounding.NEAREST, -1)):
        message = motion_message([[-1.49 / 16, 1.49 / 16]], base=True, point_bits=4)
        payload, promised = GfvWriter(rounding).write(message)
        np.testing.assert_array_equal(GfvReader().read(payload).points, [[steps / 16, 1 / 16]])
        np.testing.assert_array_equal(promised.points, [[steps / 16, 1 / 16]])


def test_a_base_may_be_predicted_from_point_to_point():
    points = walk(2, 1)[0][0]
    message = motion_message(points, base=True, predict_points=True, point_bits=10)
    read = GfvReader().read(GfvWriter().write(message)[0])
    assert read.predict_points and np.abs(read.points - points).max() <= 0.5 / 1024


def test_every_kind_of_matrix_comes_back():
    random = np.random.default_rng(3)
    shapes = {0: (7, 3, 3), 1: (5, 3, 3), 2: (1, 2, 9), 3: (1, 1, 4), 4: (1, 3, 3), 5: (1, 3, 1), 6: (1, 3, 1)}
    shapes |= {7: (2, 4, 4), 63: (3, 1, 5)}
    groups = tuple(Matrices(kind, random.normal(0, 2, shape)) for kind, shape in shapes.items())
    points = random.uniform(-1, 1, (5, 3))
    message = GfvMessage(points, groups, base=True, matrix_bits=12, point_bits=12, depth=2)
    read = GfvReader().read(GfvWriter().write(message)[0])
    assert {group.kind: group.values.shape for group in read.matrices} == shapes
    for sent, got in zip(groups, read.matrices, strict=True):
        assert np.abs(sent.values - got.values).max() <= 0.5 / 4096
    assert read.depth == 2 and np.abs(read.points - points).max() <= 0.5 / 4096


@pytest.mark.parametrize("number", [1, 3, 4, 6, 9])
def test_fewer_or_more_matrices_than_points(number: int):
    message = motion_message(np.zeros((5, 2)), np.tile(np.eye(2), (number, 1, 1)), base=True)
    assert GfvReader().read(GfvWriter().write(message)[0]).matrices[0].values.shape == (number, 2, 2)


def test_matrices_alone_say_their_space():
    group = Matrices(MatrixKind.ROTATION, np.eye(3)[None])
    read = GfvReader().read(GfvWriter().write(GfvMessage(None, (group,), base=True))[0])
    np.testing.assert_array_equal(read.matrices[0].values, np.eye(3)[None])
    assert read.points is None


BAD_MESSAGES = {
    "nothing in it": GfvMessage(base=True),
    "base after the first": motion_message(np.zeros((2, 2)), base=True, count=1),
    "predicted from nothing": motion_message(np.zeros((2, 2)), predict_points=True),
    "matrices predicted from nothing": motion_message(np.zeros((2, 2)), np.zeros((2, 2, 2)), predict_matrices=True),
    "network beside a driven picture": GfvMessage(np.zeros((2, 2)), network=b"x"),
    "fused base": motion_message(np.zeros((2, 2)), base=True, fuse=True),
    "not finite": motion_message(np.full((2, 2), np.nan), base=True),
    "four axes": motion_message(np.zeros((2, 4)), base=True),
    "one axis": motion_message(np.zeros(4), base=True),
    "jacobians without points": GfvMessage(None, (Matrices(0, np.zeros((2, 2, 2))),), base=True),
    "no precision": motion_message(np.zeros((2, 2)), base=True, point_bits=0),
    "too many points": motion_message(np.zeros((1025, 2)), base=True),
    "too large": motion_message(np.full((1, 2), 1e9), base=True),
}


@pytest.mark.parametrize("name", BAD_MESSAGES)
def test_what_the_syntax_cannot_say_is_refused(name: str):
    with pytest.raises(CodecError):
        GfvWriter().write(BAD_MESSAGES[name])


def test_a_refused_message_leaves_no_trace():
    writer = GfvWriter()
    base = motion_message(BASE_POINTS, base=True, point_bits=4)
    writer.write(base)
    with pytest.raises(CodecError):
        writer.write(motion_message(np.full((2, 2), np.inf), predict_points=True))
    payload, seen = writer.write(motion_message(BASE_POINTS, predict_points=True))
    np.testing.assert_array_equal(seen.points, BASE_POINTS)
    assert len(payload) == 2


@pytest.mark.parametrize(
    ("bits", "said"),
    [
        ("1 1 1 0 0 0 0 0", "needs keypoints or matrices"),
        ("1 1 1 1 00100", "mode 3"),
        ("1 1 1 0 0 0 1 0 1" + " 0" * 12 + " 1" + " 0" * 12, "number of keypoints"),
        ("1 1 0 0 0 1 1", "base picture"),
        ("1 1 1 0 0 0 1 0 1 1", "end in the middle"),
        (" 0" * 40, "above"),
        # Kind 7: 1024 matrices of 1024 x 1024 in a few bytes.
        ("1 1 1 0 0 0 0 1 1 1 000111" + 3 * " 000000000010000000000", "more than 65536 elements"),
    ],
)
def test_payloads_out_of_bounds_are_refused_in_words(bits: str, said: str):
    with pytest.raises(CodecError, match=said):
        GfvReader().read(by_hand(bits))


def test_more_networks_than_a_few_are_refused():
    writer, reader = GfvWriter(), GfvReader()
    for number in range(16):
        reader.read(writer.write(motion_message(BASE_POINTS, base=True, id=number))[0])
    with pytest.raises(CodecError, match="more than 16"):
        writer.write(motion_message(BASE_POINTS, base=True, id=16))


@settings(max_examples=400, deadline=None)
@given(st.lists(st.binary(max_size=80), max_size=4))
def test_any_payloads_are_messages_or_codec_errors(payloads: list[bytes]):
    read_all(GfvReader(), payloads)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2), st.integers(0, 30), st.binary(min_size=1, max_size=6), st.integers(0, 40))
def test_damaged_payloads_are_messages_or_codec_errors(which: int, at: int, damage: bytes, end: int):
    payloads = [by_hand(bits) for bits in (BASE_BITS, FIRST_BITS, SECOND_BITS)]
    hit = payloads[which]
    payloads[which] = (hit[:at] + damage + hit[at + len(damage) :])[: end + 1]
    read_all(GfvReader(), payloads)


def read_all(reader: GfvReader, payloads: list[bytes]) -> None:
    for payload in payloads:
        try:
            message = reader.read(payload)
        except CodecError as error:
            assert "\n" not in str(error)
        else:
            assert message.points is not None or message.matrices


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=120), st.sampled_from(Standard))
def test_any_stream_is_taken_apart_or_refused(stream: bytes, standard: Standard):
    for start in (b"", b"\0\0\1" + standard.sei_header, b"\0\0\1" + standard.sei_header + b"\xdf"):
        try:
            pictures = extract(start + stream, standard)
        except CodecError:
            continue
        assert all(isinstance(payload, bytes) for payloads in pictures for payload in payloads)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=120), st.sampled_from(Standard), st.sampled_from((0, 1, 2, 4)))
def test_any_packet_is_taken_apart_or_refused(packet: bytes, standard: Standard, length_bytes: int):
    packing = Packing(standard, length_bytes)
    try:
        made = packing.insert(packet, [b"\1\2"])
    except CodecError:
        return
    assert b"\1\2" in packing.extract(made)


@settings(deadline=None)
@given(st.binary(max_size=700), st.sampled_from(Standard), st.integers(0, 600))
def test_any_payload_survives_its_nal_unit(payload: bytes, standard: Standard, payload_type: int):
    unit = sei_unit(payload, standard, payload_type)
    assert not any(bad in unit for bad in (b"\0\0\0", b"\0\0\1", b"\0\0\2"))
    assert list(messages(unit, standard)) == [(payload_type, payload)]
    assert list(units(b"\0\0\0\1" + unit + b"\0\0\1" + unit)) == [unit, unit]


def test_emulation_prevention_by_hand():
    assert sei_unit(b"\0\0\0\0\0\1", Standard.H264) == bytes.fromhex("06df06 000003 000003 0001 80")
    assert sei_unit(bytes(2), Standard.H265) == bytes.fromhex("4e01df02 000080")


@settings(deadline=None)
@given(st.lists(st.integers(0, (1 << 32) - 2), max_size=20))
def test_exp_golomb_numbers_come_back(numbers: list[int]):
    writer = BitWriter()
    for number in numbers:
        writer.ue(number)
    reader = BitReader(writer.payload())
    assert [reader.ue() for _ in numbers] == numbers


def base_stream(standard: Standard, pictures: int = 3) -> bytes:
    """A few drawn pictures as an encoder of the standard gives them."""
    context = av.CodecContext.create("libx264" if standard is Standard.H264 else "libx265", "w")
    context.width = context.height = 128
    context.pix_fmt, context.time_base, context.framerate = "yuv420p", Fraction(1, 25), Fraction(25)
    context.options = {"crf": "30", "preset": "ultrafast", "x265-params": "log-level=none:repeat-headers=1"}
    packets = []
    for number in range(pictures):
        frame = av.VideoFrame.from_ndarray(draw(128, seed=number), format="rgb24").reformat(format="yuv420p")
        frame.pts = number
        packets += context.encode(frame)
    return b"".join(bytes(packet) for packet in [*packets, *context.encode(None)])


def decoded(stream: bytes, standard: Standard) -> list[av.VideoFrame]:
    context = av.CodecContext.create("h264" if standard is Standard.H264 else "hevc", "r")
    packets = [*context.parse(stream), *context.parse(b"")]
    return [frame for packet in [*packets, None] for frame in context.decode(packet)]


@pytest.mark.parametrize("standard", Standard)
def test_motion_rides_in_a_stream_that_others_decode_as_before(standard: Standard):
    stream = base_stream(standard)
    writer, sent, pictures = GfvWriter(), [], []
    for number in range(3):
        motions = walk(number, 4)
        kinds = [{"base": True}] + [{"count": i, "predict_points": True, "predict_matrices": True} for i in range(3)]
        written = [writer.write(motion_message(*motion, **kind)) for motion, kind in zip(motions, kinds, strict=True)]
        pictures.append([payload for payload, _ in written])
        sent += [message for _, message in written]
    carried = insert(stream, pictures, standard)
    assert extract(carried, standard) == pictures
    reader = GfvReader()
    got = [reader.read(payload) for payloads in extract(carried, standard) for payload in payloads]
    assert len(got) == 12
    for a, b in zip(sent, got, strict=True):
        np.testing.assert_array_equal(a.points, b.points)
    before, after = decoded(stream, standard), decoded(carried, standard)
    assert len(before) == len(after) == 3
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(a.to_ndarray(format="rgb24"), b.to_ndarray(format="rgb24"))


@pytest.mark.parametrize("standard", Standard)
def test_ffmpeg_reads_our_sei_units(standard: Standard):
    """FFmpeg knows no face messages, but unregistered user data, which travel in the same unit."""
    data = bytes(range(100, 116)) + b"\0\0\1\0\0\0\0\3 motion" + bytes(300)
    first, *others = units(base_stream(standard, 1))
    ours = [sei_unit(data, standard, payload_type=5)]
    at = next(i for i, unit in enumerate([first, *others]) if standard.starts_picture(unit))
    parts = [first, *others]
    stream = b"".join(b"\0\0\1" + unit for unit in [*parts[:at], *ours, *parts[at:]])
    (frame,) = decoded(stream, standard)
    assert data in [bytes(side) for side in frame.side_data]


def test_messages_for_more_pictures_than_there_are_are_refused():
    payload, _ = GfvWriter().write(motion_message(BASE_POINTS, base=True))
    with pytest.raises(CodecError, match="has 1 coded pictures"):
        insert(base_stream(Standard.H264, 1), [[payload], [payload]], Standard.H264)


def test_a_stream_without_messages_gives_none():
    assert extract(base_stream(Standard.H265), Standard.H265) == [[], [], []]
    assert PAYLOAD_TYPE == 223
