"""Frechet distance of two sets of features, gathered as a stream."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Gaussian:
    """Mean and covariance of feature vectors; memory does not grow with their number.

    Deviations are summed about the first batch's mean, since sums of squares about zero lose digits when features are
    far from it.

    Args:
        size: length of a feature vector.
    """

    def __init__(self, size: int) -> None:
        self.count = 0
        self._about: Array | None = None
        self._sum = np.zeros(size)
        self._outer = np.zeros((size, size))

    def add(self, features: NDArray[np.float32]) -> None:
        """Take in features ``float32 [N, size]``."""
        if not len(features):
            return
        rows = features.astype(np.float64)
        if self._about is None:
            self._about = rows.mean(0)
        rows = rows - self._about
        self.count += len(rows)
        self._sum += rows.sum(0)
        self._outer += rows.T @ rows

    @property
    def mean(self) -> Array:
        """Mean ``float64 [size]``."""
        if self._about is None:
            raise ValueError("no features were given")
        return np.asarray(self._about + self._sum / self.count)

    @property
    def covariance(self) -> Array:
        """Unbiased covariance ``float64 [size, size]``."""
        if self.count < 2:
            raise ValueError("a covariance needs two feature vectors at least")
        offset = self._sum / self.count
        return np.asarray((self._outer - self.count * np.outer(offset, offset)) / (self.count - 1))


def frechet_distance(a: Gaussian, b: Gaussian) -> float:
    """Squared Frechet (Wasserstein-2) distance of two Gaussians (Heusel et al. 2017).

    ``|m_a - m_b|^2 + tr(A + B - 2 (A^1/2 B A^1/2)^1/2)``: the symmetric form, whose eigenvalues are real and negative
    by rounding alone, so that nothing has to be added to a singular covariance.
    """
    first, second = a.covariance, b.covariance
    values, vectors = np.linalg.eigh(first)
    root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    shared = np.sqrt(np.clip(np.linalg.eigvalsh(root @ second @ root), 0, None)).sum()
    distance = ((a.mean - b.mean) ** 2).sum() + np.trace(first) + np.trace(second) - 2 * shared
    return float(max(distance, 0.0))
