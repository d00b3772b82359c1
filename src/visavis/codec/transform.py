"""From a motion vector to a few numbers that are worth sending, and back.

A table holds a linear transform ``c = analysis @ (vector - mean)``. Its components are ordered by how far they move
the picture and measured in pixels: a change of one moves the face's points by one pixel of 256 (root mean square), or
changes the generated picture by as much, whichever component it is, so that one quantiser step suits all. What a
generator makes of a value decides what it is worth: a keypoint that carries all hair and shoulders is told finely, one
that moves nothing is told from the others. What the components leave out (values that hardly change, or belong to the
person) a receiver takes from the pivot, whose whole vector it knows: ``vector = pivot + synthesis.T @ (c - pivot_c)``.

Tables belong to weights, by the hash of their file. Weights without a table get :func:`plain_table`: the values of
the vector themselves, each by the scale that its layout gives it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from visavis.core.errors import CodecError
from visavis.motion.layout import Layout

Array = NDArray[np.float32]
Levels = NDArray[np.int16]

#: Frames that one group may hold.
GROUP_SIZES = (1, 2, 4, 8)
#: Components are integers in the stream, this many to a pixel.
UNITS = 256
#: Classes of :func:`visavis.codec.motion_coder.activity`.
CLASSES = 6
_ROWS = 2 * GROUP_SIZES[-1] - 1
_TABLES = Path(__file__).parent / "tables"
_MOST_TABLE_BYTES = 4 << 20
#: The part of a motion that the 80-byte mode sends.
POINTS = "keypoints"
#: Slow movement: what is left falls with the square of the frequency (16 log2(1 + 2 k), in eighths of an octave).
_FALL = np.array([0, 25, 37, 45, 51, 55, 59, 63], np.int16)


@dataclass(frozen=True)
class MotionTable:
    """A transform of motion vectors of D values into R components, and what magnitudes to expect of them.

    Attributes:
        mean: ``float32 [D]``.
        analysis: ``float32 [R, D]``, component rows in pixels.
        synthesis: ``float32 [R, D]``, what one pixel of a component adds to the vector.
        from_points: ``float32 [2 K, D]``: what keypoints alone say of the whole vector; for the 80-byte mode.
        levels: ``int16 [15, R]``: expected magnitude (eighths of an octave, of 1/256 pixel) of the transform
            coefficients; rows ``G - 1 + k`` for frequency ``k`` of a group of ``G`` frames.
        absolute: ``int16 [15, R]``: the same where a group is coded against its pivot.
        offsets: ``int16 [6]``: what the class of the coefficients around adds to the level.
        layout: of the vectors.
        weights: sha256 of the weights it was learned for, in hex; empty for a plain table.
    """

    mean: Array
    analysis: Array
    synthesis: Array
    from_points: Array
    levels: Levels
    absolute: Levels
    offsets: Levels
    layout: Layout
    weights: str = ""

    @property
    def size(self) -> int:
        """Length D of the motion vector."""
        return self.layout.size

    @property
    def components(self) -> int:
        """Number R of components."""
        return len(self.analysis)

    @property
    def identity(self) -> bytes:
        """The 8 bytes by which a stream names its table."""
        digest = hashlib.sha256()
        for name in _ARRAYS:
            array = np.ascontiguousarray(getattr(self, name))
            digest.update(
                name.encode() + str(array.shape).encode() + array.astype(array.dtype.newbyteorder("<")).tobytes()
            )
        return digest.digest()[:8]

    def analyse(self, vectors: Array) -> Array:
        """Components in pixels ``[..., R]`` of vectors ``[..., D]``."""
        return np.asarray((vectors - self.mean) @ self.analysis.T, np.float32)

    def rebuild(self, components: Array, pivot: Array) -> Array:
        """Vectors ``[T, D]`` of components ``[T, R]`` in pixels, around the pivot's vector ``[D]``."""
        change = components - self.analyse(pivot)
        return np.asarray(pivot + change @ self.synthesis, np.float32)

    def rebuild_from_points(self, points: Array, pivot: Array) -> Array:
        """Vectors ``[T, D]`` of keypoints ``[T, 2 K]`` alone, around the pivot's vector ``[D]``."""
        where = self.layout.where(POINTS)
        change = points - pivot[where]
        vectors = np.asarray(pivot + change @ self.from_points, np.float32)
        vectors[:, where] = points
        return vectors

    def level_rows(self, frames: int, *, absolute: bool) -> Levels:
        """Levels ``[G, R]`` of a group of ``frames``."""
        return (self.absolute if absolute else self.levels)[frames - 1 : 2 * frames - 1]

    def to_bytes(self) -> bytes:
        """The table as a safetensors file."""
        return save({name: np.ascontiguousarray(getattr(self, name)) for name in _ARRAYS}, {"weights": self.weights})

    @classmethod
    def from_bytes(cls, data: bytes, weights: str, layout: Layout) -> MotionTable:
        """The inverse of :meth:`to_bytes`.

        Raises:
            CodecError: the bytes are damaged, or of a table of another layout.
        """
        try:
            arrays = load(data)
            table = cls(**{name: arrays[name] for name in _ARRAYS}, layout=layout, weights=weights)
        except (SafetensorError, KeyError) as error:
            raise CodecError(_DAMAGED) from error
        return table._checked()

    def _checked(self) -> MotionTable:
        size, points = self.layout.size, 2 * count_points(self.layout)
        if self.mean.shape != (size,) or len(self.from_points) != points:
            raise CodecError(
                f"the motion table of these weights is of {self.mean.size} values, {len(self.from_points)} of them of "
                f"keypoints, and their motion has {size}, {points} of keypoints; learn it again"
            )
        through, rows = (self.components, size), (_ROWS, self.components)
        wanted = (through, through, (points, size), rows, rows, (CLASSES,))
        if tuple(getattr(self, name).shape for name in _ARRAYS[1:]) != wanted:
            raise CodecError(_DAMAGED)
        return self


_ARRAYS = tuple(field.name for field in fields(MotionTable) if field.name not in ("layout", "weights"))
_DAMAGED = "a motion table of the package is damaged; install visavis again"


def count_points(layout: Layout) -> int:
    """How many keypoints ``(x, y)`` a motion has; 0 where it has none, or others than in the plane."""
    shape = layout.part(POINTS).shape if POINTS in layout else ()
    return shape[0] if len(shape) == 2 and shape[1] == 2 else 0


def plain_table(layout: Layout) -> MotionTable:
    """The values of a vector as components, each in units of its scale; those that are held come from the pivot."""
    size, scales = layout.size, layout.scales
    eye = np.eye(size, dtype=np.float32)
    sent = np.flatnonzero(~layout.held)
    levels = np.zeros((_ROWS, len(sent)), np.int16)
    for octave, frames in enumerate(GROUP_SIZES):
        levels[frames - 1 : 2 * frames - 1] = (56 + 12 * octave - _FALL[:frames])[:, None]
    absolute = levels.copy()
    for octave, frames in enumerate(GROUP_SIZES):
        absolute[frames - 1] = 80 + 4 * octave
    offsets = np.array([-6, 2, 6, 9, 11, 13], np.int16)
    return MotionTable(
        mean=np.zeros(size, np.float32),
        analysis=eye[sent] / scales,
        synthesis=eye[sent] * scales,
        from_points=eye[layout.where(POINTS)] if count_points(layout) else eye[:0],
        levels=levels,
        absolute=absolute,
        offsets=offsets,
        layout=layout,
    )


def packaged_table(weights: str, layout: Layout) -> MotionTable | None:
    """The packaged table that was learned for the weights of this sha256 (hex), or None.

    Raises:
        CodecError: there is one, but it is damaged, or not of this layout.
    """
    path = _TABLES / f"{weights[:16]}.safetensors"
    if len(weights) < 16 or not path.is_file():
        return None
    data = path.read_bytes()
    if len(data) > _MOST_TABLE_BYTES:
        raise CodecError(_DAMAGED)
    return MotionTable.from_bytes(data, weights, layout)


def table_for(weights: str, layout: Layout) -> MotionTable:
    """The table that both ends use for weights: the packaged one, or a plain one."""
    return packaged_table(weights, layout) or plain_table(layout)
