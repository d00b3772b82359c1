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

_NOMINAL_STEP = 12
_RIDGE = 1e-2  # square pixels: about what the quantiser leaves of a component
_ROUNDS = 2
_LEVELS = np.arange(-30, 114, 2)
_OFFSETS = np.arange(-20, 40, 2)


def principal_components(changes: Array, metric: Array) -> tuple[Array, Array, Array]:
    """Components of motion, ordered by how far they move the picture.

    Args:
        changes: of motion vectors over some frames, ``[N, M]``.
        metric: ``[M, M]``; ``d @ metric @ d`` is the mean squared movement, in square pixels, under a change ``d``.

    Returns:
        ``analysis [M, M]``, whose rows give components in pixels; its inverse, whose COLUMNS are their effects; and the
        root mean square of each component over the changes, ``[M]``.
    """
    root = np.linalg.cholesky(metric + 1e-9 * np.trace(metric) * np.eye(len(metric)))
    white = changes @ root
    squares, vectors = np.linalg.eigh(white.T @ white / len(white))
    analysis = vectors[:, ::-1].T @ root.T
    spread = np.sqrt(np.maximum(squares[::-1], 0))
    return np.asarray(analysis, np.float64), np.asarray(np.linalg.inv(analysis), np.float64), spread


def worth_sending(near: Array, far: Array, metric: Array, least: float) -> tuple[Array, Array]:
    """The components that move the picture by ``least`` pixels or more, and all else as far as they tell it.

    Args:
        near: changes over a few frames ``[N, M]``, which order the components.
        far: changes within a clip, however far apart ``[N, M]``, in which is looked up what tells what.
        metric: as for :func:`principal_components`.
        least: root mean square of the last component, in pixels.

    Returns:
        ``analysis [R, M]`` and ``synthesis [R, M]``; what is rebuilt from components has those very components.
    """
    analysis, inverse, spread = principal_components(near, metric)
    count = max(int((spread >= least).sum()), 1)
    sent, rest = analysis[:count], analysis[count:]
    told = regression(far @ sent.T, far @ rest.T, _RIDGE)
    return sent, np.asarray(inverse[:, :count].T + told @ inverse[:, count:].T)


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
