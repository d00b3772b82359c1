"""The linear face model that travels inside a network's weights, so that a receiver has it with them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from visavis.face.types import MESH_POINTS
from visavis.generators.avfr.mesh import ControlPoints, MeshControls


class MeshModel(nn.Module):
    """The linear face model as buffers; :class:`visavis.face.morphable.LinearFaceModel` fits it.

    Args:
        coefficients: of its shape.
    """

    mean: Tensor
    basis: Tensor

    def __init__(self, coefficients: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(MESH_POINTS, 3))
        self.register_buffer("basis", torch.zeros(coefficients, MESH_POINTS, 3))

    def controls(self, values: Tensor) -> MeshControls:
        """Control points of mesh values ``[B, 6 + n]``, see :class:`ControlPoints`."""
        return ControlPoints(self.mean, self.basis).posed(values)
