"""The generative face video SEI message, written and read: a face's motion beside a coded base picture.

Payload type 223 of Rec. ITU-T H.274 | ISO/IEC 23002-7, the same in H.264, H.265 and H.266, so that other tools can read
our motion. A base message carries the motion of the coded picture; each message after it drives a generated picture.

Coding is closed-loop: what is predicted is predicted from what the reader has, never from what was measured, and both
sides do the same operations in float64. So a difference is rounded once and errors do not add up.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum

import numpy as np

from visavis.codec.sei.message import ChromaKey, GfvMessage, Matrices, MatrixKind, NetworkAddress, Values
from visavis.codec.syntax import BitReader, Bits, BitWriter, flag
from visavis.core.errors import CodecError

PAYLOAD_TYPE = 223
MOST_BYTES = 1 << 20
MOST_POINTS = 1024
MOST_ELEMENTS = 1 << 16
MOST_IDS = 16

Shape = tuple[int, ...]


class Rounding(Enum):
    """How the writer makes whole numbers of steps; every reader reads both."""

    NEAREST = "nearest"  # off by half a step
    REFERENCE = "reference"  # as the reference software: adds a half and cuts towards zero; below zero off by 1.5 steps


@dataclass(frozen=True, slots=True, eq=False)
class _Known:
    """What both sides know of one id's motion."""

    base: GfvMessage = field(default_factory=GfvMessage)
    points: Values | None = None
    matrices: tuple[Matrices, ...] = ()

    def after(self, message: GfvMessage) -> _Known:
        base = message if message.base else self.base
        points = self.points if message.points is None else message.points
        return _Known(base, points, message.matrices or self.matrices)


class GfvWriter:
    """Writes messages one after another and remembers what their reader knows."""

    def __init__(self, rounding: Rounding = Rounding.NEAREST) -> None:
        self._rounding = rounding
        self._known: dict[int, _Known] = {}

    def write(self, message: GfvMessage) -> tuple[bytes, GfvMessage]:
        """The payload of a message, and the message as its reader will have it.

        Raises:
            CodecError: the syntax cannot say this message; nothing is remembered of it.
        """
        bits = BitWriter()
        seen = _code(bits, message, self._known, self._rounding)
        return bits.payload(), seen


class GfvReader:
    """Reads payloads one after another.

    Give it all messages in their order: one that is predicted from a lost one is wrong until the next base message.
    """

    def __init__(self) -> None:
        self._known: dict[int, _Known] = {}

    def read(self, payload: bytes) -> GfvMessage:
        """The message in a payload.

        Raises:
            CodecError: the payload is damaged, too large, or predicted from what was not sent.
        """
        if len(payload) > MOST_BYTES:
            raise CodecError(f"a face message has {len(payload)} bytes; at most {MOST_BYTES} are allowed")
        return _code(BitReader(payload), GfvMessage(), self._known, Rounding.NEAREST)


def _code(bits: Bits, given: GfvMessage, known: dict[int, _Known], rounding: Rounding) -> GfvMessage:
    """Write ``given``, or read into a copy of it; remember the result."""
    if (given.points is not None and given.points.ndim != 2) or any(group.values.ndim != 3 for group in given.matrices):
        raise CodecError("keypoints must be [K, 2] or [K, 3], and each group of matrices [N, height, width]")
    number = bits.ue(given.id)
    if number not in known and len(known) >= MOST_IDS:
        raise CodecError(f"more than {MOST_IDS} face networks are named")
    before = known.get(number, _Known())
    message = _Syntax(bits, before, rounding).message(replace(given, id=number))
    known[number] = before.after(message)
    return message


class _Syntax:
    """The syntax after the id, once for both directions (see :mod:`visavis.codec.syntax`)."""

    def __init__(self, bits: Bits, known: _Known, rounding: Rounding) -> None:
        self._bits, self._known, self._rounding = bits, known, rounding

    def message(self, given: GfvMessage) -> GfvMessage:
        bits = self._bits
        count = bits.ue(given.count)
        out = replace(given, count=count, base=flag(bits, given.base) if count == 0 else False)
        out = self._of_base(out) if out.base else replace(out, fuse=flag(bits, given.fuse))
        out = replace(out, low_confidence=flag(bits, given.low_confidence))
        has_points = flag(bits, given.points is not None)
        if has_points:
            out = self._with_points(out)
        has_matrices = flag(bits, bool(given.matrices))
        if has_matrices:
            out = self._with_matrices(out)
        if not has_points and not has_matrices:
            raise CodecError("a face message needs keypoints or matrices")
        if isinstance(out.network, bytes):
            out = replace(out, network=bits.rest(out.network))
        if not bits.reading:
            _check_all_said(given, out)
        return out

    def _of_base(self, out: GfvMessage) -> GfvMessage:
        bits, network, key = self._bits, out.network, out.chroma_key
        if flag(bits, network is not None):
            mode = bits.ue(int(isinstance(network, NetworkAddress)))
            if mode == 1:
                given = network if isinstance(network, NetworkAddress) else NetworkAddress("", "")
                bits.align()
                network = NetworkAddress(bits.st(given.tag), bits.st(given.uri))
            elif mode == 0:
                network = network if isinstance(network, bytes) else b""
            else:
                raise CodecError(f"a face message has network mode {mode}; 0 and 1 are known")
        if flag(bits, key is not None):
            given_key = key or ChromaKey()
            key = ChromaKey(
                tuple(self._optional(value, lambda value: bits.u(8, value)) for value in given_key.colour),
                tuple(self._optional(value, bits.ue) for value in given_key.thresholds),
            )
        return replace(out, network=network, chroma_key=key)

    def _optional(self, value: int | None, code: Callable[[int], int]) -> int | None:
        return code(value or 0) if flag(self._bits, value is not None) else None

    def _bounded(self, value: int, least: int, most: int, what: str) -> int:
        """``ue(v)`` of a value less its least, which stays in its range."""
        if not self._bits.reading and value < least:
            raise CodecError(f"{what} is {value}; {least} to {most} are allowed")
        value = self._bits.ue(value - least) + least
        if value > most:
            raise CodecError(f"{what} is {value}; {least} to {most} are allowed")
        return value

    def _with_points(self, out: GfvMessage) -> GfvMessage:
        predicted = flag(self._bits, out.predict_points)
        if out.base or not predicted:
            count, axes = (1, 2) if out.points is None else out.points.shape
            places = self._bounded(out.point_bits, 1, 32, "precision of keypoints")
            count = self._bounded(count, 1, MOST_POINTS, "number of keypoints")
            axes = 2 + flag(self._bits, axes == 3)
            depth = self._bounded(out.depth, 1, 1 << 16, "depth") if axes == 3 else 1
            reference: Values | None = np.zeros((count, axes))
        else:
            base = self._known.base
            if base.points is None:
                raise CodecError("keypoints are predicted from a base picture that has none")
            places, depth, (count, axes) = base.point_bits, base.depth, base.points.shape
            reference = self._known.points if out.count else base.points
        target = _target(self._bits, out.points, (count, axes), "keypoints")
        if reference is None or reference.shape != target.shape:
            raise CodecError("keypoints are predicted from others in number")
        points = np.empty_like(target)
        from_neighbour = out.base and predicted
        for i in range(count):
            start = points[i - 1] if from_neighbour and i else reference[i]
            points[i] = [
                a + self._signed(t - a, places) for a, t in zip(start.tolist(), target[i].tolist(), strict=True)
            ]
        return replace(out, points=points, predict_points=predicted, point_bits=places, depth=depth)

    def _signed(self, value: float, places: int) -> float:
        steps = value * 2.0**places + 0.5
        whole = math.floor(steps) if self._rounding is Rounding.NEAREST else math.trunc(steps)
        size = self._bits.ue(abs(whole))
        negative = flag(self._bits, whole < 0) if size else False
        return (-size if negative else size) / 2.0**places

    def _with_matrices(self, out: GfvMessage) -> GfvMessage:
        predicted = False if out.base else flag(self._bits, out.predict_matrices)
        if predicted:
            base = self._known.base
            places, kinds = base.matrix_bits, [(group.kind, group.values.shape) for group in base.matrices]
            reference = [group.values for group in (self._known.matrices if out.count else base.matrices)]
            if not kinds or [values.shape for values in reference] != [shape for _, shape in kinds]:
                raise CodecError("matrices are predicted from a base picture that has none or others")
        else:
            places = self._bounded(out.matrix_bits, 1, 32, "precision of matrices")
            types = self._bounded(len(out.matrices) or 1, 1, 64, "number of kinds of matrices")
            given: list[Matrices | None] = list(out.matrices) or [None] * types
            kinds = [self._kind(group, out) for group in given]
            if sum(math.prod(shape) for _, shape in kinds) > MOST_ELEMENTS:
                raise CodecError(f"matrices have more than {MOST_ELEMENTS} elements")
            reference = [np.zeros(shape) for _, shape in kinds]
        if out.matrices and len(out.matrices) != len(kinds):
            raise CodecError(f"matrices of {len(kinds)} kinds were expected")
        groups = []
        for number, ((kind, shape), start) in enumerate(zip(kinds, reference, strict=True)):
            target = _target(self._bits, out.matrices[number].values if out.matrices else None, shape, "matrices")
            pairs = zip(start.ravel().tolist(), target.ravel().tolist(), strict=True)
            flat = [known + self._element(wanted - known, places, predicted) for known, wanted in pairs]
            groups.append(Matrices(kind, np.array(flat).reshape(shape)))
        return replace(out, matrices=tuple(groups), predict_matrices=predicted, matrix_bits=places)

    def _kind(self, group: Matrices | None, out: GfvMessage) -> tuple[int, Shape]:
        """Kind and shape of a group that is not predicted."""
        bits = self._bits
        number, height, width = (1, 1, 1) if group is None else group.values.shape
        kind = bits.u(6, 0 if group is None else group.kind)
        if kind in (MatrixKind.AFFINE, MatrixKind.COVARIANCE):
            if out.points is None:
                raise CodecError(f"matrices of kind {kind} need keypoints")
            points, axes = out.points.shape
            if flag(bits, number == points):
                return kind, (points, axes, axes)
            # The number of keypoints is no choice here, and so is left out of the count.
            number = bits.ue(number - 1 if number < points else number - 2)
            number += 1 if number < points - 1 else 2
            if number > MOST_POINTS:
                raise CodecError(f"{number} matrices of one kind; at most {MOST_POINTS} are allowed")
            return kind, (number, axes, axes)
        if MatrixKind.ROTATION <= kind <= MatrixKind.LOCATION:
            side = 2 + flag(bits, height == 3) if out.points is None else out.points.shape[1]
            return kind, (1, side, side if kind == MatrixKind.ROTATION else 1)
        number = self._bounded(number, 1, 1024, "number of matrices") if kind >= MatrixKind.FEATURE else 1
        width = self._bounded(width, 1, 1024, "width of matrices")
        return kind, (number, self._bounded(height, 1, 1024, "height of matrices"), width)

    def _element(self, value: float, places: int, predicted: bool) -> float:
        """Whole part, binary part, sign; only a difference may have a binary part of one whole."""
        size, one = abs(value), 1 << places
        if self._rounding is Rounding.NEAREST:
            whole, part = divmod(math.floor(size * one + 0.5), one)
        else:
            whole = math.trunc(size)
            part = math.trunc((size - whole) * one + 0.5)
            part = part if predicted else min(part, one - 1)
        whole = self._bits.ue(whole)
        part = self._bits.ue(part) if predicted else self._bits.u(places, part)
        negative = flag(self._bits, value < 0) if whole or part else False
        return -(whole + part / one) if negative else whole + part / one


def _target(bits: Bits, values: Values | None, shape: Shape, what: str) -> Values:
    """What is to be written, of the shape that the reader will expect; anything when reading."""
    if bits.reading or values is None:
        return np.zeros(shape)
    if values.shape != shape:
        raise CodecError(f"{what} have the shape {list(values.shape)}; {list(shape)} was expected")
    if not np.isfinite(values).all():
        raise CodecError(f"{what} are not finite")
    return values


def _check_all_said(given: GfvMessage, out: GfvMessage) -> None:
    """The syntax has no place for some combinations; they must not be lost in silence."""
    if given.base and not out.base:
        raise CodecError("a base message must have count 0")
    if not out.base and (given.network is not None or given.chroma_key is not None):
        raise CodecError("only a base message can name a network or a colour key")
    if out.base and (given.fuse or given.predict_matrices):
        raise CodecError("a base message can neither be fused nor predict its matrices")
