"""How late the sound of each recording is.

Footage from the net is out of step with its sound by up to a few frames, each recording in its own way, and whoever
learns lips from it as it is learns them blurred. So lips are foretold from sound by ridge regression, learned from
other people alone, and each clip's sound is moved to where that fits best; then again, now that the others are in
step. People's clips mostly come from one recording, so they are moved together.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
#: Frames by which sound is looked for, early and late.
REACH = 6
_FOLDS, _ROUNDS = 4, 3
_RIDGE = 3000.0
#: How much a lag must be worth against none: the score of a lag of four frames less so many frames of full correlation.
_PRIOR = 2.5
_OWN = 0.4


def latenesses(people: Sequence[str], heard: Sequence[Array], lips: Sequence[Array]) -> NDArray[np.int64]:
    """Frames ``[clips]`` by which each clip's sound comes after what is seen; negative where it comes before.

    Args:
        people: who is in each clip.
        heard: of each clip ``[T, n]``, numbers of the sound of each frame.
        lips: of each clip ``[T]``, how far the lips are open.
    """
    names = sorted(set(people))
    fold = {name: at % _FOLDS for at, name in enumerate(names)}
    sound = [np.concatenate([rows, np.ones((len(rows), 1))], 1) for rows in heard]
    seen = [values - values.mean() for values in lips]
    found: NDArray[np.int64] = np.zeros(len(people), np.int64)
    lags = np.arange(-REACH, REACH + 1)
    for _ in range(_ROUNDS):
        scores = np.zeros((len(people), len(lags)))
        for held in range(_FOLDS):
            learned = _ridge(
                [_shifted(sound[at], seen[at], found[at]) for at in range(len(people)) if fold[people[at]] != held]
            )
            for at in np.flatnonzero([fold[name] == held for name in people]):
                told = sound[at] @ learned
                scores[at] = [_correlation(*_shifted(told, seen[at], lag)) for lag in lags]
        weighted = scores * np.array([len(values) for values in lips])[:, None]
        together = {name: weighted[[who == name for who in people]].sum(0) for name in names}
        prior = -_PRIOR * (lags / 4) ** 2
        found = np.array(
            [lags[np.argmax(together[name] + _OWN * weighted[at] + prior)] for at, name in enumerate(people)]
        )
    return found


def _shifted(sound: Array, seen: Array, late: int) -> tuple[Array, Array]:
    """Sound and sight of the same moments where sound comes ``late`` frames after."""
    first, last = max(0, -late), min(len(seen), len(seen) - late)
    return sound[first + late : last + late], seen[first:last]


def _ridge(clips: Sequence[tuple[Array, Array]]) -> Array:
    size = clips[0][0].shape[1]
    gram, right = _RIDGE * np.eye(size), np.zeros(size)
    for sound, seen in clips:
        gram += sound.T @ sound
        right += sound.T @ (seen / max(float(seen.std()), 1e-6))
    return np.asarray(np.linalg.solve(gram, right))


def _correlation(one: Array, other: Array) -> float:
    if len(one) < 2:
        return 0.0
    one, other = one - one.mean(), other - other.mean()
    return float(one @ other / np.sqrt(max(float((one @ one) * (other @ other)), 1e-18)))
