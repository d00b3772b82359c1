"""The learned keypoint detector of the first order model (section 3.1 and its appendix), used by AVFR-GAN too."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from visavis.motion.keypoints import KeypointMotion
from visavis.nn.blocks import AntiAliasDownsample, Hourglass
from visavis.nn.dense_motion import no_denormals
from visavis.nn.warp import coordinate_grid


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
