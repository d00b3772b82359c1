"""The first order model (Siarohin et al. 2019) a second time: plain, slow, in float64, without a line of the package.

Written from the paper's equations and its appendix, with the names of the published checkpoints. Everything but the
convolution is spelled out, so that a convention that slips in the package (grids, order of axes, channels, which
picture is the source) does not slip here too.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

Weights = Mapping[str, Tensor]
Keypoints = tuple[Tensor, Tensor]
_TEMPERATURE, _VARIANCE, _SHRINK = 0.1, 0.01, 4


class PlainFirstOrderModel:
    """Detector and generator of one picture ``[3, S, S]`` in [0, 1] at a time.

    Args:
        weights: the state dictionary.
        detector_blocks, motion_blocks, down_blocks, bottleneck_blocks: depths, as in the package's configuration.
    """

    def __init__(
        self, weights: Weights, *, detector_blocks: int, motion_blocks: int, down_blocks: int, bottleneck_blocks: int
    ) -> None:
        self.weights = {name: value.double() for name, value in weights.items() if value.is_floating_point()}
        self.depths = detector_blocks, motion_blocks, down_blocks, bottleneck_blocks

    def keypoints(self, picture: Tensor) -> Keypoints:
        """Points ``[K, 2]`` and their 2x2 frames ``[K, 2, 2]``."""
        features = self._hourglass("kp_detector.predictor", shrunk(picture.double()), self.depths[0])
        heat = self._conv("kp_detector.kp", features, 0)
        count, height, width = heat.shape
        heat = (heat / _TEMPERATURE).reshape(count, -1)
        heat = torch.exp(heat - heat.max(1, keepdim=True).values)
        heat = (heat / heat.sum(1, keepdim=True)).reshape(count, height, width)
        points = torch.stack([(heat[k][..., None] * places(height, width)).sum((0, 1)) for k in range(count)])
        field = self._conv("kp_detector.jacobian", features, 0).reshape(count, 4, height, width)
        frames = torch.stack([(heat[k] * field[k]).sum((1, 2)).reshape(2, 2) for k in range(count)])
        return points, frames

    def picture(self, source: Tensor, still: Keypoints, driving: Keypoints) -> tuple[Tensor, Tensor, Tensor]:
        """Render the source in the driving pose.

        Returns:
            The picture ``[3, S, S]``, the motion ``[h, w, 2]`` and the occlusion ``[1, h, w]``.
        """
        source = source.double()
        motion, occlusion = self._motion(shrunk(source), still, driving)
        x = self._block("generator.first", source, 3)
        for level in range(self.depths[2]):
            x = halved(self._block(f"generator.down_blocks.{level}", x, 1))
        factor = x.shape[1] // motion.shape[0]
        x = fetched(x, enlarged(motion.permute(2, 0, 1), factor).permute(1, 2, 0)) * enlarged(occlusion, factor)
        for number in range(self.depths[3]):
            name = f"generator.bottleneck.r{number}"
            y = self._conv(f"{name}.conv1", self._norm(f"{name}.norm1", x).clamp(min=0), 1)
            x = x + self._conv(f"{name}.conv2", self._norm(f"{name}.norm2", y).clamp(min=0), 1)
        for level in range(self.depths[2]):
            x = self._block(f"generator.up_blocks.{level}", doubled(x), 1)
        return logistic(self._conv("generator.final", x, 3)), motion, occlusion

    def _motion(self, small: Tensor, still: Keypoints, driving: Keypoints) -> tuple[Tensor, Tensor]:
        """Dense motion, and what of the source can be seen (section 3.2)."""
        height, width = small.shape[1:]
        z = places(height, width)
        # The published model fetches its background like the rest, from places that are centres as if they were edges.
        motions, seen = [z], [torch.zeros(1, height, width).double(), fetched(small, z)]
        for point, frame, to_point, to_frame in zip(*still, *driving, strict=True):
            turn = frame @ torch.linalg.inv(to_frame)  # equation 4
            motion = torch.stack([turn @ offset for offset in (z - to_point).reshape(-1, 2)]).reshape(z.shape) + point
            heat = bump(z, to_point) - bump(z, point)  # equation 6
            motions.append(motion)
            seen += [heat[None], fetched(small, motion)]
        name = "generator.dense_motion_network"
        features = self._hourglass(f"{name}.hourglass", torch.cat(seen), self.depths[1])
        share = torch.exp(self._conv(f"{name}.mask", features, 3))
        share = share / share.sum(0)
        dense = sum(share[k][..., None] * motion for k, motion in enumerate(motions))
        assert isinstance(dense, Tensor)
        return dense, logistic(self._conv(f"{name}.occlusion", features, 3))

    def _hourglass(self, name: str, x: Tensor, blocks: int) -> Tensor:
        levels = [x]
        for level in range(blocks):
            levels.append(halved(self._block(f"{name}.encoder.down_blocks.{level}", levels[-1], 1)))
        x = levels.pop()
        for level in range(blocks):
            x = torch.cat([self._block(f"{name}.decoder.up_blocks.{level}", doubled(x), 1), levels.pop()])
        return x

    def _block(self, name: str, x: Tensor, padding: int) -> Tensor:
        return self._norm(f"{name}.norm", self._conv(f"{name}.conv", x, padding)).clamp(min=0)

    def _conv(self, name: str, x: Tensor, padding: int) -> Tensor:
        return F.conv2d(x[None], self.weights[f"{name}.weight"], self.weights[f"{name}.bias"], padding=padding)[0]

    def _norm(self, name: str, x: Tensor) -> Tensor:
        mean, variance, gain, bias = (
            self.weights[f"{name}.{part}"][:, None, None] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / torch.sqrt(variance + 1e-5) * gain + bias


def places(height: int, width: int) -> Tensor:
    """Own coordinates ``[h, w, 2]``, x before y; -1 and 1 are the centres of the outer pixels."""
    x, y = torch.linspace(-1, 1, width).double(), torch.linspace(-1, 1, height).double()
    return torch.stack([x.expand(height, width), y[:, None].expand(height, width)], -1)


def bump(z: Tensor, point: Tensor) -> Tensor:
    """A Gaussian of variance 0.01 about a point."""
    return torch.exp(-((z - point) ** 2).sum(-1) / (2 * _VARIANCE))


def fetched(x: Tensor, motion: Tensor) -> Tensor:
    """Bilinear samples of ``x [C, H, W]`` at ``motion [h, w, 2]``, where -1 and 1 are outer EDGES; 0 outside."""
    height, width = x.shape[1:]
    column, row = ((motion[..., axis] + 1) * side / 2 - 0.5 for axis, side in ((0, width), (1, height)))
    total = torch.zeros(x.shape[0], *motion.shape[:2]).double()
    for down in (0, 1):
        for right in (0, 1):
            i, j = row.floor() + down, column.floor() + right
            weight = (1 - (row - i).abs()) * (1 - (column - j).abs())
            inside = (i >= 0) & (i < height) & (j >= 0) & (j < width)
            taken = x[:, i.clamp(0, height - 1).long(), j.clamp(0, width - 1).long()]
            total += taken * (weight * inside)
    return total


def shrunk(picture: Tensor) -> Tensor:
    """A quarter of the side: a Gaussian of 13 taps (sigma 1.5), zeros outside, then every fourth pixel."""
    taps = torch.exp(-(torch.arange(-6, 7).double() ** 2) / (2 * ((_SHRINK - 1) / 2) ** 2))
    kernel = torch.outer(taps, taps) / taps.sum() ** 2
    blurred = [F.conv2d(channel[None, None], kernel[None, None], padding=6)[0, 0] for channel in picture]
    return torch.stack(blurred)[:, ::_SHRINK, ::_SHRINK]


def halved(x: Tensor) -> Tensor:
    """Means of 2x2 pixels."""
    return (x[:, ::2, ::2] + x[:, 1::2, ::2] + x[:, ::2, 1::2] + x[:, 1::2, 1::2]) / 4


def doubled(x: Tensor) -> Tensor:
    """Each pixel twice, both ways."""
    return x.repeat_interleave(2, 1).repeat_interleave(2, 2)


def enlarged(x: Tensor, factor: int) -> Tensor:
    """Bilinear enlargement of ``x [C, h, w]`` about pixel centres; the outer pixels are held beyond theirs."""
    for axis in (1, 2):
        side = x.shape[axis]
        at = ((torch.arange(side * factor).double() + 0.5) / factor - 0.5).clamp(0, side - 1)
        low = at.floor().long().clamp(max=max(side - 2, 0))
        share = (at - low).reshape([-1 if d == axis else 1 for d in range(3)])
        x = x.index_select(axis, low) * (1 - share) + x.index_select(axis, (low + 1).clamp(max=side - 1)) * share
    return x


def logistic(x: Tensor) -> Tensor:
    """1 / (1 + exp(-x))."""
    return 1 / (1 + torch.exp(-x))
