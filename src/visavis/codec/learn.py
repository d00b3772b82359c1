"""Learning a motion table from the motions of many people: offline, NumPy only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from visavis.codec.motion_coder import MotionEncoder, activities, cost_bits, step_level, to_units
from visavis.codec.transform import CLASSES, GROUP_SIZES, MotionTable

Array = NDArray[np.float64]
Floats = NDArray[np.float32]

_APART = 8  # frames between which a change counts
_NOMINAL_STEP = 12
_ROUNDS = 2
_LEVELS = np.arange(-30, 114, 2)
_OFFSETS = np.arange(-20, 40, 2)


def principal_components(clips: Sequence[Array], metric: Array) -> tuple[Array, Array]:
    """Components of motion, ordered by how far they move the picture.

    Args:
        clips: vectors ``[T, M]`` each.
        metric: ``[M, M]``; ``d @ metric @ d`` is the mean squared movement of the face's points, in square pixels,
            under a change ``d``.

    Returns:
        ``analysis [M, M]``, whose rows give components in pixels, and its inverse, whose COLUMNS are their effects.
    """
    changes = np.concatenate([clip[_APART:] - clip[:-_APART] for clip in clips])
    root = np.linalg.cholesky(metric + 1e-9 * np.trace(metric) * np.eye(len(metric)))
    white = changes @ root
    _, vectors = np.linalg.eigh(white.T @ white)
    analysis = vectors[:, ::-1].T @ root.T
    return np.asarray(analysis, np.float64), np.asarray(np.linalg.inv(analysis), np.float64)


def regression(inputs: Array, outputs: Array, ridge: float) -> Array:
    """Least squares ``[I, O]`` from changes ``[N, I]`` to changes ``[N, O]``, held back by ``ridge`` per sample."""
    gram = inputs.T @ inputs + ridge * len(inputs) * np.eye(inputs.shape[1])
    return np.asarray(np.linalg.solve(gram, inputs.T @ outputs))


def learn_levels(table: MotionTable, clips: Sequence[Floats]) -> MotionTable:
    """Fit the table's expected magnitudes to clips ``[T, R]`` of components in pixels, by least code length."""
    for _ in range(_ROUNDS):
        levels, absolute = table.levels.copy(), table.absolute.copy()
        gains = np.zeros((CLASSES, len(_OFFSETS)))
        for frames in GROUP_SIZES:
            for is_absolute in (False, True):
                values = _quantised(table, clips, frames, is_absolute)
                classes = np.stack([np.minimum(activities(v), CLASSES - 1) for v in values])
                rows = _best_rows(values, classes, table.offsets)
                (absolute if is_absolute else levels)[frames - 1 : 2 * frames - 1] = rows
                if not is_absolute:
                    gains += _offset_costs(values, classes, rows)
        offsets = _OFFSETS[gains.argmin(1)].astype(np.int16)
        table = replace(table, levels=levels, absolute=absolute, offsets=offsets)
    return table


def _quantised(table: MotionTable, clips: Sequence[Floats], frames: int, absolute: bool) -> NDArray[np.int64]:
    """Quantised groups ``[N, G, R]`` of the clips, as the closed loop makes them."""
    groups = []
    for clip in clips:
        encoder = MotionEncoder(table)
        encoder.state = to_units(clip[0])
        for at in range(1, len(clip) - frames + 1, frames * (25 // frames if absolute else 1)):
            start = to_units(clip[0]) if absolute else encoder.state
            groups.append(encoder.quantise(clip[at : at + frames], _NOMINAL_STEP, start, absolute=absolute))
            encoder.advance(groups[-1], _NOMINAL_STEP, start, absolute=absolute)
    return np.stack(groups)


def _best_rows(values: NDArray[np.int64], classes: NDArray[np.int64], offsets: NDArray[np.int16]) -> NDArray[np.int16]:
    shift = offsets[classes] - step_level(_NOMINAL_STEP)
    costs = np.stack([cost_bits(values, shift + level).sum(0) for level in _LEVELS])
    return _LEVELS[costs.argmin(0)].astype(np.int16)


def _offset_costs(values: NDArray[np.int64], classes: NDArray[np.int64], rows: NDArray[np.int16]) -> Array:
    base = np.broadcast_to(rows - step_level(_NOMINAL_STEP), values.shape)
    out = np.zeros((CLASSES, len(_OFFSETS)))
    for number in range(CLASSES):
        chosen = classes == number
        for at, offset in enumerate(_OFFSETS):
            out[number, at] = cost_bits(values[chosen], base[chosen] + offset).sum()
    return out
