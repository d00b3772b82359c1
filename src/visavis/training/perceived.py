"""The perceptual term of a task that redraws pictures: its weight is given, or measured once and then fixed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

import torch
from torch import Tensor

from visavis.judges.perceptual import PerceptualDistance, choose
from visavis.training.losses import pyramid_l1
from visavis.training.mouth import mouth_crop

_WEIGHT = "perceptual.weight"


class Truth(Protocol):
    """What a redrawn picture is compared with.

    Attributes:
        driving: true pictures ``[B, 3, S, S]`` in [0, 1].
        weight: of each place, ``[B, 1, S, S]``.
        mouth: the middle of the lips, ``(x, y)`` in [-1, 1], ``[B, 2]``.
    """

    @property
    def driving(self) -> Tensor: ...

    @property
    def weight(self) -> Tensor: ...

    @property
    def mouth(self) -> Tensor: ...


class PerceptualWeights(Protocol):
    """How a task's losses speak of the term, see :class:`visavis.training.losses.LossWeights`."""

    @property
    def perceptual(self) -> float: ...

    @property
    def perceptual_share(self) -> float: ...

    @property
    def perceptual_mouth(self) -> float: ...

    @property
    def looks(self) -> bool:
        """Whether a perceptual network is needed."""


class Perceived:
    """How far pictures are from the true ones in the features of a network (L_per), and how much that counts.

    Args:
        network: whose features.
        weight: of the term; counts where ``share`` is 0.
        share: how much it is to count beside the L1 term; its weight is then measured on the network as it is before
            the first step.
        l1: weight of the pyramid's L1 term.
        mouth: how much the mouth's crop counts beside the whole picture.
    """

    def __init__(self, network: PerceptualDistance, *, weight: float, share: float, l1: float, mouth: float) -> None:
        self.network, self._share, self._l1, self._mouth = network, share, l1, mouth
        self._weight = None if share else weight

    @classmethod
    def chosen(cls, network: str, weights: PerceptualWeights, *, l1: float) -> Perceived | None:
        """The term of a recipe; None where no loss looks, or ``network`` is ``none``.

        Args:
            network: name of a perceptual network, see :func:`visavis.judges.perceptual.choice.choose`.
            weights: the recipe's losses.
            l1: weight of the pyramid's L1 term.
        """
        if not weights.looks or network == "none":
            return None
        return cls(
            choose(network, torch.device("cpu")),
            weight=weights.perceptual,
            share=weights.perceptual_share,
            l1=l1,
            mouth=weights.perceptual_mouth,
        )

    @property
    def counts(self) -> bool:
        """Whether there is such a term at all."""
        return self._weight is None or self._weight > 0

    def distance(self, made: Tensor, truth: Truth) -> Tensor:
        """The distance of pictures ``[B, 3, S, S]`` in [0, 1], and of their mouths where these count."""
        found = self.network(made, truth.driving).mean()
        if self._mouth:
            mouths = [mouth_crop(picture, truth.mouth) for picture in (made, truth.driving)]
            found = found + self._mouth * self.network(*mouths).mean()
        return found

    def term(self, made: Tensor, truth: Truth, first: Iterable[tuple[Tensor, Truth]]) -> Tensor:
        """The weighted distance.

        Args:
            made: pictures.
            truth: what they should be.
            first: the same two of the run's first batches, looked at where the weight is to be measured.
        """
        if self._weight is None:
            self._weight = self._measured(first)
        return self._weight * self.distance(made, truth)

    @torch.no_grad()
    def _measured(self, first: Iterable[tuple[Tensor, Truth]]) -> float:
        terms = [
            torch.stack([self._l1 * pyramid_l1(made, truth.driving, truth.weight), self.distance(made, truth)]).float()
            for made, truth in first
        ]
        l1_term, distance = torch.stack(terms).sum(0).tolist()
        return float(self._share * l1_term / max(distance, 1e-12))

    def fixed(self) -> dict[str, Tensor]:
        """The weight, where it was measured, as a run keeps it."""
        if not self._share or self._weight is None:
            return {}
        return {_WEIGHT: torch.tensor(self._weight, dtype=torch.float64)}

    def restore(self, stored: Mapping[str, Tensor]) -> None:
        """Take the weight that :meth:`fixed` gave, if it is there."""
        if _WEIGHT in stored:
            self._weight = float(stored[_WEIGHT])
