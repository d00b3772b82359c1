"""Losses of HeadGAN but for its judges (appendix A, equations 6 to 9), and those of ours beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from visavis.generators.headgan.network import Rendering
from visavis.training.composite_losses import CompositeLosses, composite_losses
from visavis.training.losses import pyramid_l1


@dataclass(frozen=True)
class HeadganLosses(CompositeLosses):
    """How much each loss counts beside those of :class:`CompositeLosses`; 0 switches it off.

    The paper's come first, with its values as defaults; its perceptual distance (equation 7) is the base's.

    Attributes:
        l1: L1 of the picture, of values in [-1, 1] as in the paper (equation 6).
        warp_l1, warp_perceptual: L1 and perceptual distance of the warped reference.
        temporal: L1 of the warped features of neighbouring frames (equation 8).
        warp_pyramid: `pyramid` of the warped reference. Ours.
    """

    l1: float = 50.0
    warp_l1: float = 50.0
    warp_perceptual: float = 10.0
    temporal: float = 30.0
    warp_pyramid: float = 0.0

    @property
    def looks(self) -> bool:
        """Whether a perceptual network is needed."""
        return bool(self.warp_perceptual) or super().looks


def picture_losses(weights: HeadganLosses, out: Rendering, real: Tensor, weight: Tensor) -> dict[str, Tensor]:
    """Losses of the picture and of the warped reference, weighted, by name; those that count.

    Args:
        weights: of the losses.
        out: what the generator made.
        real: the driving picture, ``[B, 3, S, S]`` in [0, 1].
        weight: of each place for the pyramids, ``[B, 1, S, S]``.
    """
    made, warped = out.picture, out.warped.picture.float()
    losses: dict[str, Tensor] = {}
    if weights.l1:
        losses["l1"] = 2 * weights.l1 * F.l1_loss(made, real)
    if weights.warp_l1:
        losses["warp_l1"] = 2 * weights.warp_l1 * F.l1_loss(warped, real)
    if weights.warp_pyramid:
        losses["warp_pyramid"] = weights.warp_pyramid * pyramid_l1(warped, real, weight)
    return losses | composite_losses(weights, made, out.layers, out.shares, real, weight)


def temporal_l1(before: Sequence[Tensor], now: Sequence[Tensor]) -> Tensor:
    """Equation 8: mean L1 of warped features of neighbouring frames, summed over scales."""
    return torch.stack([(a.float() - b.float()).abs().mean() for a, b in zip(before, now, strict=True)]).sum()
