"""What a generative face video SEI message says, in values; :mod:`visavis.codec.sei.gfv` makes bytes of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Values = NDArray[np.float64]


class MatrixKind(int, Enum):
    """What a group of matrices means; 8 to 63 are free."""

    AFFINE = 0  # the jacobians of the keypoints
    COVARIANCE = 1
    MOUTH = 2
    EYE = 3
    ROTATION = 4
    TRANSLATION = 5
    LOCATION = 6
    FEATURE = 7


@dataclass(frozen=True, slots=True, eq=False)
class Matrices:
    """A group of matrices: ``values`` is ``float64 [N, height, width]``, ``kind`` 0 to 63."""

    kind: int
    values: Values


@dataclass(frozen=True, slots=True)
class NetworkAddress:
    """Where the network that translates foreign motion is found: a URI, and a tag URI that names its format."""

    tag: str
    uri: str


@dataclass(frozen=True, slots=True)
class ChromaKey:
    """Colour (Y, Cb, Cr) that is taken as background, and two thresholds; None leaves the standard's own value."""

    colour: tuple[int | None, ...] = (None, None, None)
    thresholds: tuple[int | None, ...] = (None, None)


@dataclass(frozen=True, slots=True, eq=False)
class GfvMessage:
    """One message.

    Attributes:
        points: ``float64 [K, 2]`` or ``[K, 3]``, (x, y) in [-1, 1], or None. Points or matrices must be there.
        matrices: groups of matrices; jacobians are one group of kind AFFINE with K matrices.
        id: which network the motion belongs to.
        count: 0, 1, 2, ... among the messages of one coded picture; its base message has 0 as well.
        base: the motion of the coded picture itself, not of a generated one.
        predict_points: code differences: to the point before (base), to the base picture (``count`` 0), or to the
            message before.
        predict_matrices: the same for matrices; never in a base message.
        point_bits, matrix_bits: binary places, 1 to 32. Predicted messages have those of the base.
        depth: largest z, 1 to 65536, for points in space.
        fuse: the generated picture is blended with the coded one; never in a base message.
        low_confidence: the motion is not to be trusted.
        network: address or bytes of a translating network; only in a base message.
        chroma_key: background colour; only in a base message.
    """

    points: Values | None = None
    matrices: tuple[Matrices, ...] = ()
    id: int = 0
    count: int = 0
    base: bool = False
    predict_points: bool = False
    predict_matrices: bool = False
    point_bits: int = 8
    matrix_bits: int = 8
    depth: int = 1
    fuse: bool = False
    low_confidence: bool = False
    network: NetworkAddress | bytes | None = None
    chroma_key: ChromaKey | None = None


def motion_message(points: ArrayLike, jacobians: ArrayLike | None = None, **settings: Any) -> GfvMessage:
    """A message of keypoints ``[K, 2]`` and jacobians ``[K, 2, 2]``; settings are :class:`GfvMessage`'s attributes."""
    groups = () if jacobians is None else (Matrices(MatrixKind.AFFINE, np.asarray(jacobians, np.float64)),)
    return GfvMessage(np.asarray(points, np.float64), groups, **settings)
