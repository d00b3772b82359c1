"""Whether lips and sound belong together, as something to learn."""

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
from visavis.judges.mouth_sync import MouthSync, MouthSyncConfig
from visavis.judges.syncnet import REACH, offset_distances
from visavis.training.config import TrainConfig
from visavis.training.data.mouths import MouthBatch, MouthClip, Mouths, load_mouths, still_batch
from visavis.training.task import Outcome
from visavis.training.tasks.single import SingleNetwork

_SHEET_CLIPS = 12
_SHEET_CELL = 12
_SHORTEST_SHOWN = 2 * REACH + 10


@dataclass(frozen=True)
class SyncLosses:
    """How stretches of speech are drawn and judged.

    Attributes:
        within: weight of telling the right moment from the others of the same stretch.
        across: weight of telling the right person's sound from the others of the batch.
        spread: of the right moment, in frames: windows of neighbouring frames are nearly as right.
        frames: length of a stretch; its windows are each other's wrong answers.
        hidden: how often the pictures of a stretch, and how often its shapes, are hidden.
        sharpest: largest factor of the cosines.
    """

    within: float = 1.0
    across: float = 0.3
    spread: float = 0.8
    frames: int = 40
    hidden: float = 0.2
    sharpest: float = 50.0

    def __post_init__(self) -> None:
        if self.spread <= 0 or not 0 <= self.hidden <= 0.5:
            raise ConfigError("losses needs a spread above 0, and hidden from 0 to 0.5")


class SyncTask(SingleNetwork):
    """Learns a :class:`MouthSync` by contrast (InfoNCE), in either direction.

    Args:
        config: settings of the run.
        clips: to learn from.
        shown: validation clips that the sheet shows.
    """

    family = "sync"
    model_class = MouthSyncConfig
    losses_class = SyncLosses
    presets: ClassVar[Mapping[str, Callable[[], Any]]] = {"sync96": MouthSyncConfig, "tiny": MouthSyncConfig.tiny}

    def __init__(self, config: TrainConfig, clips: list[MouthClip], shown: list[MouthClip]) -> None:
        if config.losses.frames <= config.model.window:
            raise ConfigError(f"losses.frames must be more than the model's window of {config.model.window} frames")
        super().__init__(config, MouthSync)
        losses: SyncLosses = config.losses
        self.mouths = Mouths(clips, frames=losses.frames, seed=config.seed, hidden=losses.hidden)
        self.shown = shown

    @classmethod
    def start(cls, config: TrainConfig, data: Path, stored: Mapping[str, Tensor], say: Callable[[str], None]) -> Self:
        """Decode every mouth that is heard into memory."""
        clips = load_mouths(data, config.split, config.losses.frames)
        people = len({clip.identity for clip in clips})
        say(f"{len(clips)} clips, {people} people, {sum(map(len, clips)) / 25 / 60:.1f} minutes of speech in memory")
        try:
            shown = load_mouths(data, "val", _SHORTEST_SHOWN)[:_SHEET_CLIPS]
        except DataError:  # shards without such clips train as well, only without a sheet
            shown = []
        return cls(config, clips, shown)

    def to(self, device: torch.device) -> None:
        """Move the network to ``device``."""
        self.network.to(device)

    def batch(self, step: int, count: int) -> MouthBatch:
        """Batch number ``step`` of ``count`` stretches."""
        return self.mouths.batch(step, count)

    def losses(self, batch: MouthBatch, step: int) -> Outcome:
        """Contrast within stretches and across them."""
        network, weights = self.network, self.config.losses
        assert isinstance(network, MouthSync)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.config.seed * 1_000_003 + step)  # of dropout: a resumed run draws the same
            mouths = network.see(batch.crops, batch.shapes, batch.keep)
            sounds = network.listen(batch.mel)
        scale = network.log_scale.exp().clamp(max=weights.sharpest)
        targets = soft_targets(mouths.shape[1], weights.spread, mouths.device)
        return Outcome(
            {
                "within": weights.within * contrast_within(mouths, sounds, scale, targets),
                "across": weights.across * contrast_across(mouths, sounds, scale),
            }
        )

    @torch.no_grad()
    def sheet(self, network: nn.Module) -> NDArray[np.uint8] | None:
        """Draw distance by offset: a row a clip, -15 to 15 from left to right, dark is near."""
        if not self.shown:
            return None
        assert isinstance(network, MouthSync)
        device = next(network.parameters()).device
        rows = []
        for clip in self.shown:
            batch = still_batch(clip).to(device)
            mouths, sounds = network.see(batch.crops, batch.shapes)[0], network.listen(batch.mel)[0]
            distances = offset_distances(mouths, sounds, zeros=False)
            rows.append((distances - distances.min()) / (distances.max() - distances.min() + 1e-9))
        grey = (torch.stack(rows).cpu().numpy() * 255).astype(np.uint8)
        return np.repeat(grey.repeat(_SHEET_CELL, 0).repeat(_SHEET_CELL, 1)[..., None], 3, 2)


def soft_targets(count: int, spread: float, device: torch.device) -> Tensor:
    """Return ``[count, count]``, rows of sum 1: Gaussians of ``spread`` around the diagonal."""
    at = torch.arange(count, device=device, dtype=torch.float32)
    return (-((at[:, None] - at) ** 2) / (2 * spread**2)).softmax(1)


def contrast_within(mouths: Tensor, sounds: Tensor, scale: Tensor, targets: Tensor) -> Tensor:
    """Cross entropy of each mouth over the sounds of its own stretch, and of each sound over its mouths.

    Args:
        mouths, sounds: unit vectors ``[B, W, E]``.
        scale: factor of the cosines.
        targets: ``[W, W]`` from :func:`soft_targets`.
    """
    logits = scale * torch.einsum("bwe,bue->bwu", mouths, sounds)
    by_mouth = -(targets * logits.log_softmax(2)).sum(2).mean()
    by_sound = -(targets.T * logits.log_softmax(1)).sum(1).mean()
    return (by_mouth + by_sound) / 2


def contrast_across(mouths: Tensor, sounds: Tensor, scale: Tensor) -> Tensor:
    """Cross entropy over the same window of every stretch of the batch; arguments as for :func:`contrast_within`."""
    logits = scale * torch.einsum("bwe,cwe->wbc", mouths, sounds)
    own = torch.arange(logits.shape[1], device=logits.device).repeat(logits.shape[0])
    by_mouth = F.cross_entropy(logits.flatten(0, 1), own)
    by_sound = F.cross_entropy(logits.transpose(1, 2).flatten(0, 1), own)
    return (by_mouth + by_sound) / 2
