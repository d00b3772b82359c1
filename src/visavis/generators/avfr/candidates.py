"""Dense motion of AVFR-GAN: which of several candidate motions moves which place of the source."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visavis.generators.avfr.config import FOLD, AvfrConfig
from visavis.generators.avfr.steps import Still
from visavis.motion.keypoints import KeypointMotion
from visavis.nn.blocks import Hourglass
from visavis.nn.dense_motion import keypoint_heatmaps, no_denormals, sparse_motions
from visavis.nn.thin_plate import Spline
from visavis.nn.warp import channels_last, coordinate_grid, sample

_VARIANCE = 0.01
_MESH_HEAD_START = 4.0  # initial logit of the mesh among the candidate motions


class CandidateMotion(nn.Module):
    """Dense motion from candidates: background, K keypoint motions and, if wanted, the mesh's thin-plate warp."""

    def __init__(self, config: AvfrConfig) -> None:
        super().__init__()
        self.config = config
        self.candidates = config.keypoints + 1 + config.mesh_motion
        drawings = 2 * FOLD**2 if config.mesh_motion else 0
        channels = config.keypoints + 1 + (3 + config.layers) * self.candidates + drawings
        self.hourglass = Hourglass(config.motion_width, channels, config.motion_blocks, config.motion_max)
        out, kernel = self.hourglass.out_filters, 3 if config.coarse_heads else 7
        self.mask = nn.Conv2d(out, self.candidates, kernel, padding="same")
        self.occlusion = nn.Conv2d(out, 1, kernel, padding="same")
        if config.mesh_motion:
            self.residual = nn.Conv2d(out, 2, kernel, padding="same")
            nn.init.zeros_(self.residual.weight)
            nn.init.zeros_(self.residual.bias)  # type: ignore[arg-type]
            with torch.no_grad():
                self.mask.bias[-1] += _MESH_HEAD_START  # type: ignore[index]

    def forward(
        self, still: Still, driving: KeypointMotion, by_mesh: Spline | None, drawing: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return grid ``[B, h, w, 2]``, occlusion ``[B, 1, h, w]`` in [0, 1], and mask ``[B, candidates, h, w]``.

        Args:
            still: the source.
            driving: keypoints.
            by_mesh: the mesh's candidate, or None.
            drawing: of the driving mesh, folded to ``[B, 16, h, w]``, or None.
        """
        gathered, motions = self.gather(still, driving, by_mesh, drawing)
        return self.choose(self.weigh(gathered), motions)

    def gather(
        self, still: Still, driving: KeypointMotion, by_mesh: Spline | None, drawing: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """What the choice is made of: the hourglass's input, and the candidates ``[B, candidates, h, w, 2]``.

        The input is ``[B, channels, h, w]``: the source moved by each candidate, heat, drawings; arguments are as for
        :meth:`forward`.
        """
        height, width = still.small.shape[2:]
        grid = coordinate_grid(height, width, align_corners=False, device=still.small.device)
        source = still.motion
        motions = sparse_motions(source.points, source.jacobians, driving.points, driving.jacobians, grid)
        heat = keypoint_heatmaps(driving.points, grid, _VARIANCE) - keypoint_heatmaps(source.points, grid, _VARIANCE)
        heat = torch.cat([torch.zeros_like(heat[:, :1]), heat], 1)
        parts = [heat]
        if by_mesh is not None:
            motions = torch.cat([motions, by_mesh.grid(grid)[:, None]], 1)
        count = motions.shape[1]
        spread = still.small[:, None].expand(-1, count, -1, -1, -1).flatten(0, 1)
        parts.append(sample(spread, motions.flatten(0, 1)).view(-1, 3 * count, height, width))
        if drawing is not None and still.drawing is not None:
            parts += [drawing, still.drawing]
        if still.small_person is not None:
            person = still.small_person[:, None].expand(-1, count, -1, -1, -1).flatten(0, 1)
            parts.append(sample(person, motions.flatten(0, 1)).view(-1, count, height, width))
        return channels_last(torch.cat(parts, 1)), motions

    def see(self, gathered: Tensor) -> Tensor:
        """The hourglass: the heads' input ``[B, out, h, w]``, or half of that side with coarse heads."""
        seen: Tensor = self.hourglass(gathered)
        return F.avg_pool2d(seen, 2) if self.config.coarse_heads else seen

    def weigh(self, gathered: Tensor) -> Tensor:
        """Hourglass and heads; see :meth:`judge`."""
        return self.judge(self.see(gathered))

    def judge(self, seen: Tensor) -> Tensor:
        """The heads ``[B, candidates + 1 (+ 2), h, w]``: logits of mask and occlusion, and the residual before tanh.

        By one convolution: it costs as one head.
        """
        heads = [self.mask, self.occlusion] + ([self.residual] if self.config.mesh_motion else [])
        weight, bias = torch.cat([head.weight for head in heads]), torch.cat([head.bias for head in heads])  # type: ignore[misc]
        made = F.conv2d(seen, weight, bias, padding="same").float()
        if self.config.coarse_heads:
            made = F.interpolate(made, scale_factor=2.0, mode="bilinear", align_corners=False)
        return made

    def choose(self, judged: Tensor, motions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Results of :meth:`forward`, of those of :meth:`judge` and the candidates."""
        count = self.candidates
        mask = no_denormals(judged[:, :count].softmax(1))
        dense = (mask[..., None] * motions).sum(1)
        if self.config.mesh_motion:
            dense = dense + 0.1 * judged[:, count + 1 :].tanh().permute(0, 2, 3, 1)
        return dense, judged[:, count : count + 1].sigmoid(), mask
