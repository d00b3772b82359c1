"""Motion: what a generator needs to know of a driving frame, and all that a call has to send."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True, slots=True)
class MotionLayout:
    """How a motion lies in its plain vector: points, then jacobians, then mesh coefficients.

    Attributes:
        keypoints: number of keypoints K.
        jacobians: whether each keypoint carries a 2x2 frame.
        mesh: number of mesh values (camera and linear face model), 0 for none.
    """

    keypoints: int
    jacobians: bool
    mesh: int = 0

    @property
    def size(self) -> int:
        """Length of the vector."""
        return self.keypoints * (6 if self.jacobians else 2) + self.mesh


@dataclass(frozen=True, slots=True)
class KeypointMotion:
    """Sparse motion as K points, each with an optional local 2x2 frame, and optional mesh coefficients.

    Convention:
        Coordinates are ``(x, y)`` in [-1, 1] over the aligned face crop.

    Attributes:
        points: ``float32 [B, K, 2]``.
        jacobians: ``float32 [B, K, 2, 2]``, or None for translation-only motion.
        mesh: ``float32 [B, M]`` camera and shape coefficients of the linear face model
            (:mod:`visavis.face.morphable`), or None for families without it.
    """

    points: Tensor
    jacobians: Tensor | None = None
    mesh: Tensor | None = None

    @property
    def layout(self) -> MotionLayout:
        """How :meth:`vector` orders the values."""
        return MotionLayout(
            keypoints=self.points.shape[1],
            jacobians=self.jacobians is not None,
            mesh=0 if self.mesh is None else self.mesh.shape[1],
        )

    def vector(self) -> NDArray[np.float32]:
        """Return the motion as ``float32 [B, D]``, D being ``layout.size``."""
        parts = [self.points.flatten(1)]
        if self.jacobians is not None:
            parts.append(self.jacobians.flatten(1))
        if self.mesh is not None:
            parts.append(self.mesh)
        return torch.cat(parts, 1).detach().cpu().float().numpy()

    @classmethod
    def from_vector(cls, vector: NDArray[np.float32], layout: MotionLayout) -> KeypointMotion:
        """Rebuild a motion from ``float32 [B, D]``; the inverse of :meth:`vector`."""
        if vector.ndim != 2 or vector.shape[1] != layout.size:
            raise ValueError(f"a motion of this layout has {layout.size} values, got shape {vector.shape}")
        values = torch.from_numpy(np.ascontiguousarray(vector, dtype=np.float32))
        k = layout.keypoints
        points = values[:, : 2 * k].reshape(-1, k, 2)
        at = 2 * k
        jacobians = None
        if layout.jacobians:
            jacobians = values[:, at : at + 4 * k].reshape(-1, k, 2, 2)
            at += 4 * k
        return cls(points, jacobians, values[:, at:] if layout.mesh else None)

    def to(self, device: torch.device | str) -> KeypointMotion:
        """Return the same motion on ``device``."""
        return replace(
            self,
            points=self.points.to(device),
            jacobians=None if self.jacobians is None else self.jacobians.to(device),
            mesh=None if self.mesh is None else self.mesh.to(device),
        )
