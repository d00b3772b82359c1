"""Frame interpolation as something to learn, from real frames and their neighbours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from typing_extensions import Self

from visavis.core.errors import ConfigError, DataError
from visavis.enhance.interpolation import FAMILY, MULTIPLE, BetweenConfig, Interpolator
from visavis.judges.perceptual import PerceptualDistance, choose
from visavis.training.config import TrainConfig
from visavis.training.data.gaps import GapBatch, Gaps, load_stretches
from visavis.training.losses import gradient_l1, texture_l1
from visavis.training.task import Outcome
from visavis.training.tasks.single import SingleNetwork, in_rows

_SHEET_PAIRS = 6
_SHEET_STRIDE = 40


@dataclass(frozen=True)
class BetweenLosses:
    """How neighbours are drawn and judged.

    Attributes:
        l1: weight of the mean absolute error.
        gradient: weight of that of the differences along x and y.
        moved: weight of the error before the repair, so that flows learn from the start.
        texture: weight of the difference in the strength of fine edges, so that frames stay sharp.
        perceptual: weight of the distance in the features of the run's perceptual network.
        side: of the squares cut around the face; a multiple of 8.
        softened: share of the pairs that are blurred and coded as generated pictures are.
    """

    l1: float = 10.0
    gradient: float = 2.0
    moved: float = 5.0
    texture: float = 0.0
    perceptual: float = 0.0
    side: int = 128
    softened: float = 0.3

    def __post_init__(self) -> None:
        if self.side < MULTIPLE or self.side % MULTIPLE or not 0 <= self.softened <= 1:
            raise ConfigError(f"losses needs a side that is a multiple of {MULTIPLE}, and softened from 0 to 1")


class BetweenTask(SingleNetwork):
    """Learns an :class:`Interpolator`.

    Args:
        config: settings of the run.
        gaps: to learn from.
        shown: what sheets show.
    """

    family = FAMILY
    model_class = BetweenConfig
    losses_class = BetweenLosses
    presets: ClassVar[Mapping[str, Callable[[], Any]]] = {"between256": BetweenConfig, "tiny": BetweenConfig.tiny}

    def __init__(self, config: TrainConfig, gaps: Gaps, shown: GapBatch) -> None:
        super().__init__(config, Interpolator)
        self.gaps, self.shown = gaps, shown
        self.perceptual: PerceptualDistance | None = None
        if config.losses.perceptual and config.perceptual != "none":
            self.perceptual = choose(config.perceptual)

    def to(self, device: torch.device) -> None:
        """Move the networks to ``device``."""
        super().to(device)
        if self.perceptual is not None:
            self.perceptual.to(device)

    @classmethod
    def start(cls, config: TrainConfig, data: Path, stored: Mapping[str, Tensor], say: Callable[[str], None]) -> Self:
        """Decode stretches of six frames into memory."""
        losses: BetweenLosses = config.losses
        stretches = load_stretches(data, config.split, config.stride)
        size = min(stretch.pictures.shape[1] for stretch in stretches)
        if losses.side > size:
            raise ConfigError(f"losses.side must be at most the side of the pictures, {size}")
        people = len({stretch.identity for stretch in stretches})
        say(f"{len(stretches)} stretches of six frames, {people} people in memory")
        try:
            unseen = load_stretches(data, "val", max(config.stride, _SHEET_STRIDE))
        except DataError:
            unseen = stretches
        gaps = Gaps(stretches, side=losses.side, softened=losses.softened, seed=config.seed)
        return cls(config, gaps, Gaps(unseen, side=losses.side).batch(0, _SHEET_PAIRS))

    def batch(self, step: int, count: int) -> GapBatch:
        """Batch number ``step`` of ``count`` pairs."""
        return self.gaps.batch(step, count)

    def losses(self, batch: GapBatch, step: int) -> Outcome:
        """Errors of the picture, and of the moved neighbours alone; nothing in them is random."""
        made, weights = self.network(batch.pair), self.config.losses
        even = torch.ones_like(batch.truth[:, :1])
        losses = {
            "l1": weights.l1 * (made.picture - batch.truth).abs().mean(),
            "gradient": weights.gradient * gradient_l1(made.picture, batch.truth, even),
            "moved": weights.moved * (made.moved - batch.truth).abs().mean(),
        }
        if weights.texture:
            losses["texture"] = weights.texture * texture_l1(made.picture, batch.truth)
        if self.perceptual is not None:
            losses["perceptual"] = weights.perceptual * self.perceptual(made.picture, batch.truth).mean()
        return Outcome(losses)

    @torch.no_grad()
    def sheet(self, network: nn.Module) -> NDArray[np.uint8] | None:
        """Draw rows of both neighbours, their mixture, what ``network`` makes, and the truth."""
        shown = self.shown.to(next(network.parameters()).device)
        mixture = torch.lerp(shown.before, shown.after, shown.share.view(-1, 1, 1, 1))
        return in_rows([shown.before, shown.after, mixture, network(shown.pair).picture, shown.truth])
