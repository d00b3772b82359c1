"""Losses of the 3D-aware generative network but for its judges (section 4.4, equation 8), and ours beside them."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from visavis.generators.rhythmic.network import Rendering
from visavis.training.composite_losses import CompositeLosses, composite_losses
from visavis.training.losses import pyramid_l1


@dataclass(frozen=True)
class RhythmicLosses(CompositeLosses):
    """How much each loss counts beside those of :class:`CompositeLosses`; 0 switches it off.

    The paper's lambda of 10 is the default of its own. Adversarial loss and feature matching belong to the judges; the
    perceptual distance, L_PCT, is the base's.

    Attributes:
        warp: L_W, L1 of the projected and of the matched picture after FlowNet, of values in [-1, 1]. There is no true
            flow to compare with.
        unprojection: MSE of the unprojection network's position maps (appendix 0.A.3), where there is one.
        painted: `pyramid` of the decoder's own picture, so that it learns where little of it is shown too. Ours.
    """

    warp: float = 10.0
    unprojection: float = 10.0
    painted: float = 0.0


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
    if weights.painted:
        losses["painted"] = weights.painted * pyramid_l1(out.layers[0], real, weight)
    return losses | composite_losses(weights, out.picture, out.layers, out.shares, real, weight)
