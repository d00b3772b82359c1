"""Losses of a picture that is composed of layers, which HeadGAN and the 3D-aware network share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from visavis.core.errors import ConfigError
from visavis.training.losses import choice_l1, gradient_l1, pyramid_l1, structure_loss


@dataclass(frozen=True)
class CompositeLosses:
    """How much each loss counts; 0 switches it off. All but `perceptual` are ours.

    Attributes:
        perceptual: distance of the pictures in a network's features (VGG in the papers).
        pyramid: L1 over an image pyramid, of values in [0, 1], weighted by the mouth and eye map.
        gradient: L1 of the pictures' differences along x and y.
        structure: one minus SSIM.
        choice: the L1 of each layer of the composite, weighted by its share.
        perceptual_share: in place of `perceptual`: how much it counts beside the term `pyramid`. Its weight is measured
            before the first step, on the first batches, and then fixed.
        perceptual_mouth: how much the mouth's crop counts in it beside the whole picture.
    """

    perceptual: float = 10.0
    pyramid: float = 0.0
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
        return bool(self.perceptual or self.perceptual_share)


def composite_losses(
    weights: CompositeLosses,
    made: Tensor,
    layers: Sequence[Tensor],
    shares: Tensor | None,
    real: Tensor,
    weight: Tensor,
) -> dict[str, Tensor]:
    """Losses of the picture, weighted, by name; those that count, but for the perceptual one.

    Args:
        weights: of the losses.
        made: the picture, ``[B, 3, S, S]`` in [0, 1].
        layers: what it is composed of, each like it.
        shares: what each layer counts, ``[B, layers, S, S]``; None without a composite.
        real: the driving picture, like ``made``.
        weight: of each place for the pyramid, ``[B, 1, S, S]``.
    """
    losses: dict[str, Tensor] = {}
    if weights.pyramid:
        losses["pyramid"] = weights.pyramid * pyramid_l1(made, real, weight)
    if weights.gradient:
        losses["gradient"] = weights.gradient * gradient_l1(made, real, weight)
    if weights.structure:
        losses["structure"] = weights.structure * structure_loss(made, real)
    if weights.choice and shares is not None:
        losses["choice"] = weights.choice * choice_l1(layers, shares, real)
    return losses
