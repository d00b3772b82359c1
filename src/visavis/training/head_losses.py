"""Losses of HeadGAN but for its judges (appendix A, equations 6 to 9), and those of ours beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from visavis.core.errors import ConfigError
from visavis.generators.headgan.network import Rendering
from visavis.training.losses import choice_l1, gradient_l1, pyramid_l1, structure_loss


@dataclass(frozen=True)
class HeadganLosses:
    """How much each loss counts; 0 switches it off. The paper's come first, with its values as defaults.

    Attributes:
        l1: L1 of the picture, of values in [-1, 1] as in the paper (equation 6).
        perceptual: distance of the pictures in a network's features (equation 7; VGG in the paper).
        warp_l1, warp_perceptual: the same two of the warped reference.
        temporal: L1 of the warped features of neighbouring frames (equation 8).
        pyramid: L1 over an image pyramid, of values in [0, 1], weighted by the mouth and eye map. Ours.
        warp_pyramid: the same of the warped reference. Ours.
        gradient: L1 of the pictures' differences along x and y. Ours.
        structure: one minus SSIM. Ours.
        choice: the L1 of each layer of the composite, weighted by its share. Ours.
        perceptual_share: in place of `perceptual`: how much it counts beside the term `pyramid`. Its weight is measured
            before the first step, on the first batches, and then fixed.
        perceptual_mouth: how much the mouth's crop counts in it beside the whole picture.
    """

    l1: float = 50.0
    perceptual: float = 10.0
    warp_l1: float = 50.0
    warp_perceptual: float = 10.0
    temporal: float = 30.0
    pyramid: float = 0.0
    warp_pyramid: float = 0.0
    gradient: float = 0.0
    structure: float = 0.0
    choice: float = 0.0
    perceptual_share: float = 0.0
    perceptual_mouth: float = 0.0

    def __post_init__(self) -> None:
        """Refuse a share of nothing."""
        if self.perceptual_share and self.perceptual:
            raise ConfigError("'losses.perceptual_share' measures the weight that 'losses.perceptual' gives: set one")
        if self.perceptual_share and not self.pyramid:
            raise ConfigError("'losses.perceptual_share' is a share of the term 'pyramid': set 'pyramid' too")

    @property
    def looks(self) -> bool:
        """Whether a perceptual network is needed."""
        return bool(self.perceptual or self.warp_perceptual or self.perceptual_share)


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
    if weights.pyramid:
        losses["pyramid"] = weights.pyramid * pyramid_l1(made, real, weight)
    if weights.warp_pyramid:
        losses["warp_pyramid"] = weights.warp_pyramid * pyramid_l1(warped, real, weight)
    if weights.gradient:
        losses["gradient"] = weights.gradient * gradient_l1(made, real, weight)
    if weights.structure:
        losses["structure"] = weights.structure * structure_loss(made, real)
    if weights.choice and out.shares is not None:
        losses["choice"] = weights.choice * choice_l1(out.layers, out.shares, real)
    return losses


def temporal_l1(before: Sequence[Tensor], now: Sequence[Tensor]) -> Tensor:
    """Equation 8: mean L1 of warped features of neighbouring frames, summed over scales."""
    return torch.stack([(a.float() - b.float()).abs().mean() for a, b in zip(before, now, strict=True)]).sum()
