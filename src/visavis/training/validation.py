"""What averaged weights are worth on clips that are not learned from, cheaply enough to know it while training."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from visavis.training.data.dataset import Batch, Draw, Pairs
from visavis.training.data.resident import Resident
from visavis.training.mouth import edge_strength, mouth_crop

#: How many pictures are redrawn together.
AT_A_TIME = 16


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
        for number, driving in spread([len(clip.mesh) for clip in pairs.clips], frames):
            self._draws.append(Draw(number, 0, driving, np.ones(3, np.float32)))

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
        return figures((redraw(batch), batch.driving, batch.mouth) for batch in self._batches(device))

    def _batches(self, device: torch.device) -> Iterator[Batch]:
        for first in range(0, len(self._draws), AT_A_TIME):
            draws = self._draws[first : first + AT_A_TIME]
            if self._resident is None:
                yield self._pairs.made(draws).to(device)
            else:
                yield self._resident.gather(self._resident.picks(draws).to(device))


def spread(lengths: Sequence[int], frames: int) -> list[tuple[int, int]]:
    """Which frames are redrawn: clip and frame, about ``frames`` in all, spread evenly; never a clip's first."""
    found = []
    for number, length in enumerate(lengths):
        count = min(max(1, frames // len(lengths)), length - 1)
        found += [(number, int(index)) for index in np.linspace(1, length - 1, count).astype(int)]
    return found


def figures(drawn: Iterable[tuple[Tensor, Tensor, Tensor]]) -> dict[str, float]:
    """Means of what :meth:`Validation.measure` returns.

    Args:
        drawn: made and real pictures ``[B, 3, S, S]`` in [0, 1], and the middle of the mouths ``[B, 2]``.
    """
    found = [_compared(made.float(), real, mouth) for made, real, mouth in drawn]
    psnr, l1, sharpness = torch.cat(found, 1).mean(1).tolist()
    return {"psnr": psnr, "l1": l1, "mouth_sharpness": sharpness}


def _compared(made: Tensor, real: Tensor, mouth: Tensor) -> Tensor:
    """Psnr, l1 and mouth sharpness of each picture: ``[3, B]``."""
    error = made - real
    psnr = -10 * error.square().mean((1, 2, 3)).clamp_min(1e-10).log10()
    edges = [edge_strength(mouth_crop(picture, mouth)).clamp_min(1e-6) for picture in (made, real)]
    sharpness = torch.minimum(*edges) / torch.maximum(*edges)
    return torch.stack([psnr, error.abs().mean((1, 2, 3)), sharpness])
