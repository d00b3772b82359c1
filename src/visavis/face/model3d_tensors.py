"""The tensors of the 3D face as a network, for whoever counts what networks hold."""

from __future__ import annotations

import torch
from torch import nn

from visavis.face.model3d import FaceModelConfig


class FaceModelTensors(nn.Module):
    """The tensors of a weights file of family ``face-model``."""

    identity: torch.Tensor
    expression: torch.Tensor

    def __init__(self, config: FaceModelConfig) -> None:
        super().__init__()
        shapes = config.shapes()
        self.register_buffer("triangles", torch.zeros(shapes.pop("triangles"), dtype=torch.int32))
        for name, shape in shapes.items():
            self.register_parameter(name, nn.Parameter(torch.zeros(shape), requires_grad=False))

    def gmac(self) -> dict[str, dict[str, float]]:
        """Multiply-accumulates in units of 1e9, of the points of one frame."""
        return {"per_frame": {"points": (self.identity.numel() + self.expression.numel()) / 1e9}}
