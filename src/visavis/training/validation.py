"""What averaged weights are worth on clips that are not learned from, cheaply enough to know it while training."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from visavis.training.data.dataset import Batch, Draw, Pairs
from visavis.training.data.resident import Resident
from visavis.training.mouth import edge_strength, mouth_crop

_AT_A_TIME = 16


class Validation:
    """Redraws frames of each clip from the clip's first one and compares.

    The figures are for watching a run; ``visavis evaluate`` has those to report.

    Args:
        pairs: of the validation clips, without jitter.
        frames: about how many are drawn, spread evenly over the clips.
    """

    def __init__(self, pairs: Pairs, frames: int) -> None:
        self._pairs = pairs
        self._resident: Resident | None = None
        self._draws: list[Draw] = []
        for number, clip in enumerate(pairs.clips):
            count = min(max(1, frames // len(pairs.clips)), len(clip.mesh) - 1)
            driving = np.linspace(1, len(clip.mesh) - 1, count).astype(int)
            self._draws += [Draw(number, 0, int(index), np.ones(3, np.float32)) for index in driving]

    def live_on(self, device: torch.device) -> None:
        """Keep the clips on a device."""
        self._resident = Resident(self._pairs, device)

    def measure(self, redraw: Callable[[Batch], Tensor], device: torch.device) -> dict[str, float]:
        """Return means over the frames.

        Args:
            redraw: gives pictures ``[B, 3, S, S]`` in [0, 1] for a batch on ``device``.
            device: of the network.

        Returns:
            ``psnr`` in dB, ``l1`` of [0, 1], and ``mouth_sharpness``: the edges of the mouth's crop beside the true
            ones, the smaller over the larger.
        """
        found = [_compared(redraw(batch).float(), batch) for batch in self._batches(device)]
        psnr, l1, sharpness = torch.cat(found, 1).mean(1).tolist()
        return {"psnr": psnr, "l1": l1, "mouth_sharpness": sharpness}

    def _batches(self, device: torch.device) -> Iterator[Batch]:
        for first in range(0, len(self._draws), _AT_A_TIME):
            draws = self._draws[first : first + _AT_A_TIME]
            if self._resident is None:
                yield self._pairs.made(draws).to(device)
            else:
                yield self._resident.gather(self._resident.picks(draws).to(device))


def _compared(made: Tensor, batch: Batch) -> Tensor:
    """Psnr, l1 and mouth sharpness of each picture: ``[3, B]``."""
    real = batch.driving
    error = made - real
    psnr = -10 * error.square().mean((1, 2, 3)).clamp_min(1e-10).log10()
    edges = [edge_strength(mouth_crop(picture, batch.mouth)).clamp_min(1e-6) for picture in (made, real)]
    sharpness = torch.minimum(*edges) / torch.maximum(*edges)
    return torch.stack([psnr, error.abs().mean((1, 2, 3)), sharpness])
