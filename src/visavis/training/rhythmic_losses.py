"""Losses of the 3D-aware generative network but for its judges (section 4.4, equation 8), and ours beside them."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from visavis.core.errors import ConfigError
from visavis.generators.rhythmic.network import Rendering
from visavis.training.losses import choice_l1, gradient_l1, pyramid_l1, structure_loss


@dataclass(frozen=True)
class RhythmicLosses:
    """How much each loss counts; 0 switches it off. Those of the paper come first, its lambda of 10 as their default.

    Adversarial loss and feature matching belong to the judges.

    Attributes:
        perceptual: L_PCT, distance of the pictures in a network's features (VGG19 in the paper).
        warp: L_W, L1 of the projected and of the matched picture after FlowNet, of values in [-1, 1]. There is no true
            flow to compare with.
        unprojection: MSE of the unprojection network's position maps (appendix 0.A.3), where there is one.
        pyramid: L1 over an image pyramid, of values in [0, 1], weighted by the mouth and eye map. Ours.
        painted: the same of the decoder's own picture, so that it learns where little of it is shown too. Ours.
        gradient: L1 of the pictures' differences along x and y. Ours.
        structure: one minus SSIM. Ours.
        choice: the L1 of each layer of the composite, weighted by its share. Ours.
        perceptual_share: in place of `perceptual`: how much it counts beside the term `pyramid`. Its weight is measured
            before the first step, on the first batches, and then fixed.
        perceptual_mouth: how much the mouth's crop counts in it beside the whole picture.
    """

    perceptual: float = 10.0
    warp: float = 10.0
    unprojection: float = 10.0
    pyramid: float = 0.0
    painted: float = 0.0
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


def picture_losses(weights: RhythmicLosses, out: Rendering, real: Tensor, weight: Tensor) -> dict[str, Tensor]:
    """Losses of the picture and of the pictures that FlowNet has warped, weighted, by name; those that count.

    Args:
        weights: of the losses.
        out: what the generator made.
        real: the driving picture, ``[B, 3, S, S]`` in [0, 1].
        weight: of each place for the pyramids, ``[B, 1, S, S]``.
    """
    losses: dict[str, Tensor] = {}
    if weights.warp:
        # Around a face that is projected by itself there is nothing to compare.
        face = real if out.shown is None else real * out.shown
        both = F.l1_loss(out.projected.float(), face) + F.l1_loss(out.matched.float(), real)
        losses["warp"] = 2 * weights.warp * both
    if weights.pyramid:
        losses["pyramid"] = weights.pyramid * pyramid_l1(out.picture, real, weight)
    if weights.painted:
        losses["painted"] = weights.painted * pyramid_l1(out.layers[0], real, weight)
    if weights.gradient:
        losses["gradient"] = weights.gradient * gradient_l1(out.picture, real, weight)
    if weights.structure:
        losses["structure"] = weights.structure * structure_loss(out.picture, real)
    if weights.choice and out.shares is not None:
        losses["choice"] = weights.choice * choice_l1(out.layers, out.shares, real)
    return losses
