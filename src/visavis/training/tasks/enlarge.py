"""Super-resolution as something to learn, from patches of large pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from typing_extensions import Self

from visavis.core.errors import ConfigError, DataError
from visavis.enhance import FACTOR
from visavis.enhance.super_resolution import FAMILY, EnlargeConfig, Enlarger
from visavis.training.config import TrainConfig
from visavis.training.data.large import PatchBatch, Patches, load_large
from visavis.training.losses import gradient_l1
from visavis.training.task import Outcome
from visavis.training.tasks.single import SingleNetwork, in_rows

_SHEET_PATCHES = 6
_SHEET_SIDE = 96


@dataclass(frozen=True)
class EnlargeLosses:
    """How patches are drawn and judged.

    Attributes:
        l1: weight of the mean absolute error.
        gradient: weight of that of the differences along x and y.
        side: of the small patches.
        softened: share of the small patches that are blurred and coded as generated pictures are.
    """

    l1: float = 10.0
    gradient: float = 2.0
    side: int = 48
    softened: float = 0.5

    def __post_init__(self) -> None:
        if not 8 <= self.side <= 192 or not 0 <= self.softened <= 1:
            raise ConfigError("losses needs a side from 8 to 192, and softened from 0 to 1")


class EnlargeTask(SingleNetwork):
    """Learns an :class:`Enlarger`.

    Args:
        config: settings of the run.
        patches: to learn from.
        shown: what sheets show.
    """

    family = FAMILY
    model_class = EnlargeConfig
    losses_class = EnlargeLosses
    presets: ClassVar[Mapping[str, Callable[[], Any]]] = {"enlarge2x": EnlargeConfig, "tiny": EnlargeConfig.tiny}

    def __init__(self, config: TrainConfig, patches: Patches, shown: PatchBatch) -> None:
        super().__init__(config, Enlarger)
        self.patches, self.shown = patches, shown

    @classmethod
    def start(cls, config: TrainConfig, data: Path, stored: Mapping[str, Tensor], say: Callable[[str], None]) -> Self:
        """Decode large pictures into memory; ``data`` is a data set as for ``visavis prepare``, and no shards."""
        losses: EnlargeLosses = config.losses
        reach = config.model.reach
        clips = load_large(data, config.split, config.stride)
        people = len({clip.identity for clip in clips})
        say(f"{sum(len(clip.pictures) for clip in clips)} pictures of {len(clips)} clips, {people} people in memory")
        try:
            unseen = load_large(data, "val", 10 * config.stride, most=_SHEET_PATCHES)
        except DataError:
            unseen = clips
        shown = Patches(unseen, side=_SHEET_SIDE, reach=reach, softened=0.5)
        patches = Patches(clips, side=losses.side, reach=reach, softened=losses.softened, seed=config.seed)
        return cls(config, patches, shown.batch(0, _SHEET_PATCHES))

    def batch(self, step: int, count: int) -> PatchBatch:
        """Batch number ``step`` of ``count`` patches."""
        return self.patches.batch(step, count)

    def losses(self, batch: PatchBatch, step: int) -> Outcome:
        """Absolute errors of colours and of their differences; nothing in them is random."""
        made = self.network(batch.small.contiguous(memory_format=torch.channels_last)).float()
        weights, even = self.config.losses, torch.ones_like(batch.large[:, :1])
        return Outcome(
            {
                "l1": weights.l1 * (made - batch.large).abs().mean(),
                "gradient": weights.gradient * gradient_l1(made, batch.large, even),
            }
        )

    @torch.no_grad()
    def sheet(self, network: nn.Module) -> NDArray[np.uint8] | None:
        """Draw rows of bicubic interpolation, what ``network`` makes, and the truth."""
        small = self.shown.small.to(next(network.parameters()).device)
        plain = F.interpolate(small, scale_factor=float(FACTOR), mode="bicubic", align_corners=False)
        plain = F.pad(plain, [-FACTOR * self.config.model.reach] * 4)
        return in_rows([plain, network(small), self.shown.large])
