"""The learned keypoint detector of the first order model (section 3.1 and its appendix), used by AVFR-GAN too."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from visavis.motion.layout import Layout, Motion
from visavis.nn.blocks import AntiAliasDownsample, Hourglass
from visavis.nn.dense_motion import no_denormals
from visavis.nn.warp import coordinate_grid


@dataclass(frozen=True, slots=True)
class KeypointMotion:
    """What networks of keypoint families pass among themselves: a batch, with gradients.

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
    def of(cls, motion: Motion, device: torch.device | str = "cpu") -> KeypointMotion:
        """A batch of one frame's motion, whose layout is that of :class:`visavis.motion.keypoint_kind.KeypointKind`."""
        values = torch.from_numpy(np.array(motion.vector, np.float32))[None].to(device)
        layout = motion.layout
        count = layout.part("keypoints").shape[0]
        points = values[:, layout.where("keypoints")].view(1, count, 2)
        jacobians = values[:, layout.where("jacobians")].view(1, count, 2, 2) if "jacobians" in layout else None
        mesh = values[:, layout.where("camera").start :] if "camera" in layout else None
        return cls(points, jacobians, mesh)

    def frame(self, layout: Layout, number: int = 0) -> Motion:
        """The motion of one frame of the batch."""
        parts = [part for part in (self.points, self.jacobians, self.mesh) if part is not None]
        vector = torch.cat([part[number].flatten() for part in parts])
        return Motion(vector.detach().cpu().float().numpy(), layout)

    def to(self, device: torch.device | str) -> KeypointMotion:
        """Return the same motion on ``device``."""
        return replace(
            self,
            points=self.points.to(device),
            jacobians=None if self.jacobians is None else self.jacobians.to(device),
            mesh=None if self.mesh is None else self.mesh.to(device),
        )


class KeypointDetector(nn.Module):
    """Hourglass that gives K heat maps; a point is its heat map's centre of mass.

    Convention:
        The heat map's own grid spans [-1, 1] from the centre of its first to the centre of its last pixel, as in the
        published checkpoints; without padding the heat map is 6 pixels smaller than the input.

    Args:
        in_channels: 3, or 5 with the structural prior.
        num_keypoints: K.
        block_expansion, num_blocks, max_features: of the hourglass.
        temperature: of the heat maps' softmax.
        estimate_jacobian: also predict a 2x2 frame for each point.
        scale_factor: the detector works on the picture shrunk by this.
        pad: padding of the 7x7 heads.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        num_keypoints: int,
        block_expansion: int,
        num_blocks: int,
        max_features: int,
        temperature: float,
        estimate_jacobian: bool,
        scale_factor: float,
        pad: int,
    ) -> None:
        super().__init__()
        self.num_keypoints, self.temperature = num_keypoints, temperature
        self.predictor = Hourglass(block_expansion, in_channels, num_blocks, max_features)
        self.kp = nn.Conv2d(self.predictor.out_filters, num_keypoints, 7, padding=pad)
        self.jacobian: nn.Conv2d | None = None
        if estimate_jacobian:
            self.jacobian = nn.Conv2d(self.predictor.out_filters, 4 * num_keypoints, 7, padding=pad)
            nn.init.zeros_(self.jacobian.weight)
            with torch.no_grad():
                self.jacobian.bias.copy_(  # type: ignore[union-attr]
                    torch.tensor([1.0, 0.0, 0.0, 1.0]).repeat(num_keypoints)
                )
        self.down = AntiAliasDownsample(in_channels, scale_factor)

    def forward(self, x: Tensor) -> KeypointMotion:
        """Detect the keypoints of pictures ``[B, in_channels, S, S]`` in [0, 1]."""
        features = self.predictor(self.down(x))
        heat = self.kp(features)
        height, width = heat.shape[2:]
        heat = no_denormals((heat.flatten(2) / self.temperature).softmax(-1).view_as(heat))
        grid = coordinate_grid(height, width, align_corners=True, device=x.device)
        points = (heat[..., None] * grid).sum((2, 3))
        if self.jacobian is None:
            return KeypointMotion(points)
        field = self.jacobian(features).view(-1, self.num_keypoints, 4, height, width)
        frames = (heat[:, :, None] * field).sum((3, 4)).view(-1, self.num_keypoints, 2, 2)
        return KeypointMotion(points, frames)
