"""The closed loop of motion: exact on both sides, bounded for ever, small, and able to recover."""

from __future__ import annotations

from dataclasses import replace

import constriction
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.fft import dct

from layouts import morphable, points
from visavis.codec.bases import DEPARTING, STEADY
from visavis.codec.entropy import (
    LEAST_LEVEL,
    MORE,
    MOST_LEVEL,
    ZERO,
    RangeDecoder,
    RangeEncoder,
    decode_integer,
    encode_integer,
)
from visavis.codec.motion_coder import (
    STEPS,
    MotionDecoder,
    MotionEncoder,
    activities,
    activity,
    cost_bits,
    decode_values,
    to_pixels,
    to_units,
)
from visavis.codec.transform import GROUP_SIZES, MotionTable, packaged_table, plain_table
from visavis.core.errors import CodecError
from visavis.motion.layout import PIXEL, Layout, Part
from visavis.pipelines.call.weights import WeightsId
from visavis.pipelines.load import load_generator
from visavis.weights.store import packaged

COMPONENTS = 12
LAYOUT = Layout("keypoints", (*points(2).parts, Part("shape", (8,), "coefficient", PIXEL)))


@pytest.fixture(scope="module")
def table() -> MotionTable:
    return plain_table(LAYOUT)


def head(frames: int, seed: int = 0) -> np.ndarray:
    """A head that sways, nods and jitters: ``float32 [frames, 12]`` in pixels."""
    noise = np.random.default_rng(seed)
    time = np.arange(frames)[:, None] / 25
    speed, size = noise.uniform(0.2, 3, COMPONENTS), np.geomspace(8, 0.1, COMPONENTS)
    sway = size * np.sin(2 * np.pi * speed * time + noise.uniform(0, 6, COMPONENTS))
    return (sway + 0.1 * noise.standard_normal((frames, COMPONENTS))).astype(np.float32)


@given(st.lists(st.tuples(st.integers(-(1 << 20), 1 << 20), st.integers(-80, 160)), max_size=60))
def test_integers_come_back_whatever_was_expected_of_them(numbers: list[tuple[int, int]]):
    coder = RangeEncoder()
    for value, level in numbers:
        encode_integer(coder, value, level)
    decoder = RangeDecoder(coder.finish())
    assert [decode_integer(decoder, level) for _, level in numbers] == [value for value, _ in numbers]


def test_the_coder_is_within_a_byte_of_the_information_and_ends_sooner_than_one_of_32_bit_words():
    """An outside opinion: constriction's range coder on the same decisions with the same probabilities."""
    noise = np.random.default_rng(1)
    for count in (10, 60, 2000):
        probabilities = np.array(ZERO)[noise.integers(0, len(ZERO), count)]
        ones = noise.random(count) < probabilities / 65536
        ours = RangeEncoder()
        for one, probability in zip(ones, probabilities, strict=True):
            ours.bit(bool(one), int(probability))
        told = np.where(ones, probabilities, 65536 - probabilities) / 65536
        information = -np.log2(told).sum()
        theirs = constriction.stream.queue.RangeEncoder()
        model = constriction.stream.model.Bernoulli(perfect=True)
        theirs.encode(ones.astype(np.int32), model, (probabilities / 65536).astype(np.float64))
        size = len(ours.finish())
        assert information / 8 - 1 <= size <= information / 8 * 1.001 + 1
        assert size <= 4 * len(theirs.get_compressed())


def test_quiet_numbers_cost_almost_nothing():
    coder = RangeEncoder()
    for _ in range(400):
        encode_integer(coder, 0, LEAST_LEVEL)
    assert coder.finish() == b""


def test_a_number_without_end_is_refused():
    coder = RangeEncoder()
    coder.bit(False, ZERO[-1])
    for _ in range(24):
        coder.bit(True, MORE[-1])
    coder.plain((1 << 40) - 1, 40)
    with pytest.raises(CodecError, match="larger than any"):
        decode_integer(RangeDecoder(coder.finish()), MOST_LEVEL)


@pytest.mark.parametrize("frames", GROUP_SIZES)
def test_the_transforms_are_the_orthonormal_cosine_and_sine_transforms(frames: int):
    cosine = dct(np.eye(frames), axis=0, norm="ortho")
    assert np.abs(STEADY[frames] / 16384 - cosine).max() < 0.5 / 16384
    k, n = np.arange(frames)[:, None], np.arange(1, frames + 1)[None]
    sine = 2 / np.sqrt(2 * frames + 1) * np.sin(np.pi * (2 * k + 1) * n / (2 * frames + 1))
    assert np.abs(sine @ sine.T - np.eye(frames)).max() < 1e-12
    assert np.abs(DEPARTING[frames] / 16384 - sine).max() <= 0.5 / 16384


def test_the_classes_of_a_block_are_those_of_its_coefficients_one_by_one():
    values = np.random.default_rng(0).integers(-3, 4, (8, 5))
    one_by_one = [[activity(values, k, j) for j in range(5)] for k in range(8)]
    assert activities(values).tolist() == one_by_one


@pytest.mark.parametrize("frames", GROUP_SIZES)
def test_decoder_and_encoder_agree_to_the_last_unit(table: MotionTable, frames: int):
    encoder, decoder = MotionEncoder(table), MotionDecoder(table)
    motion = head(200)
    reference = to_units(motion[0])
    for number, at in enumerate(range(0, 200 - frames + 1, frames)):
        anchor = reference if number % 5 == 0 else None
        step = (5 * number) % len(STEPS)
        payload, bias, group = encoder.encode(motion[at : at + frames], step, anchor)
        assert (decoder.decode(payload, frames, step, bias, anchor) == group).all()


@pytest.mark.parametrize("frames", GROUP_SIZES)
def test_error_stays_within_half_a_step_for_ever(table: MotionTable, frames: int):
    """Of each transform coefficient, and so by a known factor of each frame; an hour's drift would show in minutes."""
    encoder = MotionEncoder(table, thrift=0)
    motion = head(6000)
    step = 10
    basis = DEPARTING[frames] / 16384
    half = STEPS[step] / 2
    for at in range(0, len(motion) - frames + 1, frames):
        _, _, group = encoder.encode(motion[at : at + frames], step)
        error = group - 256.0 * motion[at : at + frames]
        assert np.abs(basis @ error).max() <= half + 2  # and the rounding of integers
        assert np.abs(error).max() <= np.abs(basis).sum(0).max() * half + 2


def test_thrift_saves_more_bits_than_a_coarser_step_of_the_same_error(table: MotionTable):
    motion = head(400)

    def cost(step: int, thrift: float) -> tuple[int, float]:
        encoder = MotionEncoder(table, thrift=thrift)
        groups = [encoder.encode(motion[at : at + 8], step) for at in range(0, 400, 8)]
        made = np.concatenate([group for _, _, group in groups])
        return sum(len(payload) for payload, _, _ in groups), float(np.square(made - 256.0 * motion).mean())

    size, error = cost(13, 0.15)
    plain = [cost(step, 0) for step in range(10, 18)]
    same = np.interp(error, [e for _, e in plain], [s for s, _ in plain])
    assert size < 0.98 * same


def test_the_estimate_of_the_cost_is_the_cost(table: MotionTable):
    encoder = MotionEncoder(table)
    motion = head(80)
    for at in range(0, 80, 8):
        start = encoder.state
        payload, bias, _ = encoder.encode(motion[at : at + 8], 12)
        values = encoder.quantise(motion[at : at + 8], 12, start, absolute=False)
        told = decode_values(payload, table, 8, 12, bias, absolute=False) // STEPS[12]
        assert (told == values).all()
        rows = table.level_rows(8, absolute=False) - 40 + table.offsets[np.minimum(activities(values), 5)]
        estimate = cost_bits(values, rows.astype(np.int64) + (-9, -6, -3, 0, 3, 6, 9, 14)[bias]).sum()
        assert abs(estimate - 8 * len(payload)) < 12


def test_a_lost_group_does_not_stop_those_after_it_and_an_absolute_one_heals(table: MotionTable):
    encoder, decoder = MotionEncoder(table), MotionDecoder(table)
    motion = head(64)
    reference = to_units(motion[0])
    errors = []
    for number in range(8):
        anchor = reference if number in (0, 6) else None
        payload, bias, group = encoder.encode(motion[8 * number : 8 * number + 8], 12, anchor)
        held = np.repeat(decoder.state[None], 8, 0)
        made = held if number == 2 else decoder.decode(payload, 8, 12, bias, anchor)
        errors.append(np.abs(made - group).max())
    assert errors[0] == errors[1] == 0
    assert errors[2] > 0 and max(errors[3:6]) <= 2 * errors[2]
    assert errors[6] == errors[7] == 0


@settings(deadline=None)
@given(st.binary(max_size=200), st.sampled_from(GROUP_SIZES), st.integers(0, 31), st.integers(0, 7))
def test_any_payload_is_motion_or_one_error(payload: bytes, frames: int, step: int, bias: int):
    decoder = MotionDecoder(plain_table(LAYOUT))
    for _ in range(3):
        try:
            group = decoder.decode(payload, frames, step, bias)
        except CodecError:
            return
        assert group.shape == (frames, COMPONENTS)
        assert np.abs(group).max() <= 1 << 22


def test_groups_and_steps_that_are_not_are_refused(table: MotionTable):
    for frames, step, bias in ((3, 0, 0), (8, 32, 0), (8, 0, 8)):
        with pytest.raises(CodecError, match="damaged motion"):
            MotionDecoder(table).decode(b"", frames, step, bias)


THREE_POINTS = Layout("keypoints", (*points(3).parts, Part("shape", (4,), "coefficient", PIXEL)))


def test_a_plain_table_is_the_vector_itself():
    table = plain_table(THREE_POINTS)
    vectors = np.random.default_rng(0).uniform(-1, 1, (5, 10)).astype(np.float32)
    assert np.allclose(table.analyse(vectors), 128 * vectors, atol=1e-4)
    assert np.allclose(table.rebuild(table.analyse(vectors), vectors[0]), vectors, atol=1e-6)
    made = table.rebuild_from_points(vectors[:, :6], vectors[0])
    assert np.allclose(made[:, :6], vectors[:, :6])
    assert np.allclose(made[:, 6:], vectors[0, 6:])


def test_a_plain_table_counts_each_value_by_its_scale_and_leaves_out_what_is_held():
    table, noise = plain_table(morphable()), np.random.default_rng(0)
    assert (table.size, table.components, table.levels.shape) == (8, 4, (15, 4))
    pivot, vectors = (noise.uniform(-1, 1, shape).astype(np.float32) for shape in (8, (5, 8)))
    sent = [3, 4, 6, 7]
    assert np.allclose(table.analyse(vectors), vectors[:, sent] / [0.1, 0.1, 0.25, 0.25], rtol=1e-6)
    made = table.rebuild(table.analyse(vectors), pivot)
    assert np.allclose(made[:, sent], vectors[:, sent], atol=1e-6)
    assert (made[:, [0, 1, 2, 5]] == pivot[[0, 1, 2, 5]]).all()


def test_values_that_are_held_take_no_bits():
    person = Layout("keypoints", (Part("identity", (50,), "coefficient", PIXEL, held=True), *LAYOUT.parts))
    motion = head(8) / 128
    beside = np.concatenate([np.random.default_rng(1).uniform(-9, 9, (8, 50)).astype(np.float32), motion], 1)
    coded = [
        MotionEncoder(table).encode(table.analyse(vectors), 12)[0]
        for table, vectors in ((plain_table(LAYOUT), motion), (plain_table(person), beside))
    ]
    assert coded[0] == coded[1]


def test_points_of_the_thesis_are_put_where_the_layout_has_them():
    layout = Layout("keypoints", (Part("camera", (6,), "mixed", PIXEL), *points(3).parts))
    vectors = np.random.default_rng(0).uniform(-1, 1, (5, 12)).astype(np.float32)
    made = plain_table(layout).rebuild_from_points(vectors[:, 6:], vectors[0])
    assert np.allclose(made[:, 6:], vectors[:, 6:]) and np.allclose(made[:, :6], vectors[0, :6])


def test_a_table_of_other_motion_is_refused_in_words():
    data = plain_table(THREE_POINTS).to_bytes()
    for other in (points(3), Layout("keypoints", (*points(2).parts, Part("shape", (6,), "coefficient", PIXEL)))):
        with pytest.raises(CodecError, match="is of 10 values, 6 of them of keypoints, and their motion has"):
            MotionTable.from_bytes(data, "", other)
    short = replace(plain_table(THREE_POINTS), levels=np.zeros((14, 10), np.int16))
    with pytest.raises(CodecError, match="damaged"):
        MotionTable.from_bytes(short.to_bytes(), "", THREE_POINTS)


def test_packaged_weights_with_a_mesh_have_a_motion_table():
    """Without one their motion is coded value by value, at several times the bits."""
    for entry in packaged().values():
        if entry.family == "avfr":
            hint = f"run: python tools/learn_motion_table.py SHARDS --model {entry.name}"
            table = packaged_table(WeightsId.of(entry.name).motion, load_generator(entry.name).kind.layout)
            assert table is not None, hint


def test_what_the_components_leave_out_comes_from_the_pivot():
    table = packaged_table(packaged()["avfr-256"].sha256, load_generator("avfr-256").kind.layout)
    assert table is not None
    pivot = np.random.default_rng(0).uniform(-0.2, 0.2, table.size).astype(np.float32)
    assert np.allclose(table.rebuild(table.analyse(pivot[None]), pivot), pivot, atol=1e-4)
    moved = table.analyse(pivot) + np.eye(table.components, dtype=np.float32)[0]
    assert np.allclose(table.analyse(table.rebuild(moved[None], pivot))[0], moved, atol=2e-2)


def test_tables_come_back_from_their_bytes_and_are_known_by_what_is_in_them():
    table = plain_table(THREE_POINTS)
    again = MotionTable.from_bytes(table.to_bytes(), "ab", THREE_POINTS)
    assert again.identity == table.identity
    assert (again.levels == table.levels).all()
    assert again.weights == "ab"
    assert plain_table(points(5)).identity != table.identity
    with pytest.raises(CodecError, match="damaged"):
        MotionTable.from_bytes(table.to_bytes()[:-9], "", THREE_POINTS)


def test_units_hold_256_to_a_pixel():
    assert to_units(np.array([1.0, -0.5, 1e9])).tolist() == [256, -128, 1 << 22]
    assert to_pixels(np.array([256])).tolist() == [1.0]
