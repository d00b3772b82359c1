"""Keypoints as networks pass them among themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from visavis.motion.layout import Layout, Motion
from visavis.nn.arrays import Tensor, mapped, on_host

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class KeypointMotion:
    """What networks of keypoint families pass among themselves: a batch, with gradients where torch computes.

    What leaves a generator is the :class:`visavis.motion.layout.Motion` of one frame.

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

    @classmethod
    def of(cls, motion: Motion) -> KeypointMotion:
        """A batch of one frame's motion, whose layout is that of :class:`visavis.motion.keypoint_kind.KeypointKind`.

        Its arrays are NumPy's.
        """
        values, layout = np.array(motion.vector, np.float32), motion.layout
        count = layout.part("keypoints").shape[0]
        points = values[layout.where("keypoints")].reshape(1, count, 2)
        jacobians = values[layout.where("jacobians")].reshape(1, count, 2, 2) if "jacobians" in layout else None
        mesh = values[None, layout.where("camera").start :] if "camera" in layout else None
        return cls(points, jacobians, mesh)  # type: ignore[arg-type]  # see visavis.nn.arrays

    def frame(self, layout: Layout, number: int = 0) -> Motion:
        """The motion of one frame of the batch."""
        parts = [part for part in (self.points, self.jacobians, self.mesh) if part is not None]
        return Motion(np.concatenate([on_host(part[number]).ravel() for part in parts]), layout)

    def tensors(self, device: torch.device | str = "cpu") -> KeypointMotion:
        """The same motion in torch's tensors on a device."""
        import torch

        return mapped(self, lambda part: torch.as_tensor(part, device=device))  # type: ignore[no-any-return]
