"""What a run need not work out again: what frozen parts of a network make of a pair, and what a teacher makes of it.

With a pool of pairs each comes again and again; a network whose detector, dense motion and encoders are frozen then
costs its decoder alone, and a teacher of several times its size one rendering a pair in all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from visavis.generators.avfr.config import FOLD
from visavis.generators.avfr.generator import AvfrGenerator
from visavis.generators.avfr.network import AvfrNetwork
from visavis.motion.keypoints import KeypointMotion
from visavis.nn.warp import coordinate_grid
from visavis.training.data.dataset import Batch, Pairs

#: What has to be frozen for its results to be kept.
FROZEN = ("detector", "motion.hourglass", "appearance", "identity")


@dataclass(frozen=True)
class Taught:
    """What a teacher makes of a pair: its dense motion, and its picture ``[B, 3, S, S]`` in [0, 1] where it counts."""

    grid: Tensor
    picture: Tensor | None


@dataclass(frozen=True)
class Known:
    """What is known of a batch beforehand.

    Attributes:
        looked: of the sources, from :meth:`AvfrNetwork.look`; of identity the last two alone for a light decoder.
        background: of the sources, or None without layers.
        source, driving: keypoints and mesh values.
        seen, motions: from :meth:`visavis.generators.avfr.candidates.CandidateMotion.see`.
        taught: by the teacher, or None.
    """

    looked: tuple[Tensor, tuple[Tensor, ...]]
    background: Tensor | None
    source: KeypointMotion
    driving: KeypointMotion
    seen: Tensor
    motions: Tensor
    taught: Taught | None


@dataclass(frozen=True)
class _Source:
    looked: tuple[Tensor, tuple[Tensor, ...]]
    background: Tensor | None
    motion: KeypointMotion


@dataclass(frozen=True)
class _Pair:
    driving: KeypointMotion
    seen: Tensor
    offsets: Tensor
    taught: Taught | None


class Kept:
    """Keeps, in half precision, what has been made of sources and pairs of the pool; all pairs of a source at once.

    Args:
        network: whose parts :data:`FROZEN` do not change.
        pairs: with a pool.
        teacher: folded, or None.
        pictures: whether the teacher's pictures count, which cost three times as much as its motion.
    """

    def __init__(
        self, network: AvfrNetwork, pairs: Pairs, teacher: AvfrGenerator | None = None, *, pictures: bool = False
    ) -> None:
        self._network, self._pairs, self._teacher, self._pictures = network, pairs, teacher, pictures
        self._sources: dict[int, _Source] = {}
        self._made: dict[int, _Pair] = {}

    @torch.no_grad()
    def known(self, batch: Batch) -> Known:
        """Look up a batch of the pool, or make what is not known of it yet; exactly, in a run of any precision."""
        with torch.autocast(batch.source.device.type, enabled=False):
            return self._known(batch)

    def _known(self, batch: Batch) -> Known:
        numbers = [int(number) for number in batch.number]
        for number in numbers:
            if number not in self._made:
                self._make(number // self._pairs.drivings)
        sources = [self._sources[number // self._pairs.drivings] for number in numbers]
        pairs = [self._made[number] for number in numbers]
        identity = zip(*[source.looked[1] for source in sources], strict=True)
        offsets = _joined([pair.offsets for pair in pairs])
        backgrounds = [source.background for source in sources if source.background is not None]
        return Known(
            (_joined([source.looked[0] for source in sources]), tuple(_joined(level) for level in identity)),
            _joined(backgrounds) if backgrounds else None,
            _motions([source.motion for source in sources]),
            _motions([pair.driving for pair in pairs]),
            _joined([pair.seen for pair in pairs]),
            offsets + self._places(offsets),
            _shown([pair.taught for pair in pairs if pair.taught is not None]),
        )

    def _make(self, number: int) -> None:
        """Make a source of the pool, and its pairs."""
        network, each = self._network, self._pairs.drivings
        numbers = range(number * each, min((number + 1) * each, self._pairs.pool))
        device = next(network.parameters()).device
        whole = self._pairs.made([self._pairs.pooled(pair) for pair in numbers]).to(device)
        rows = [Batch(*[part[row : row + 1] for part in vars(whole).values()]) for row in range(len(numbers))]
        one = rows[0]
        looked = network.look(one.source)
        motion = network.detect(one.source, one.source_prior, one.source_mesh)
        still = network.still(one.source, looked, motion, one.source_prior)
        kept = looked[1][-2:] if network.config.light else looked[1]
        background = None if still.background is None else still.background.half()
        self._sources[number] = _Source((looked[0].half(), tuple(x.half() for x in kept)), background, motion)
        taught = [None] * each if self._teacher is None else _taught(self._teacher.network, rows, self._pictures)
        for pair, row, shown in zip(numbers, rows, taught, strict=False):
            driving = network.detect(row.driving, row.driving_prior, row.driving_mesh)
            gathered, motions = network.gather(still, driving, network.carry(still, driving), _folded(row))
            seen = network.motion.see(gathered)
            self._made[pair] = _Pair(driving, seen.half(), (motions - self._places(motions)).half(), shown)

    @staticmethod
    def _places(motions: Tensor) -> Tensor:
        """The places themselves, beside which a motion is small, so that half precision tells it well."""
        return coordinate_grid(motions.shape[2], motions.shape[3], align_corners=False, device=motions.device)


def _folded(batch: Batch) -> Tensor:
    return F.pixel_unshuffle(batch.driving_prior[:, :1], FOLD)


def _taught(teacher: AvfrNetwork, rows: Sequence[Batch], pictures: bool) -> list[Taught | None]:
    """What a teacher makes of pairs of one source; pictures as ``uint8``."""
    one, found = rows[0], list[Taught | None]()
    source = teacher.detect(one.source, one.source_prior, one.source_mesh)
    still = teacher.encode(one.source, source, one.source_prior)
    for row in rows:
        driving = teacher.detect(row.driving, row.driving_prior, row.driving_mesh)
        folded, mel = _folded(row), row.mel if teacher.config.sound else None
        moved = teacher.moved(still, driving, folded)
        grid, picture = moved.grid.clone(), None  # an engine lends its results until it is called again
        if pictures:
            picture = teacher.decode(moved, folded, mel, still.background, still.small_background)
            picture = (255 * picture).round().clamp(0, 255).byte()
        found.append(Taught(grid, picture))
    return found


def _shown(parts: Sequence[Taught]) -> Taught | None:
    """What a teacher made of the pairs of a batch; None without one."""
    if not parts:
        return None
    pictures = [part.picture for part in parts if part.picture is not None]
    return Taught(_joined([part.grid for part in parts]), _joined(pictures) / 255 if pictures else None)


def _joined(parts: Sequence[Tensor]) -> Tensor:
    return torch.cat(list(parts)).float()


def _motions(parts: Sequence[KeypointMotion]) -> KeypointMotion:
    """One batch of several."""

    def joined(name: str) -> Tensor | None:
        found = [getattr(part, name) for part in parts]
        return None if found[0] is None else torch.cat(found)

    return KeypointMotion(torch.cat([part.points for part in parts]), joined("jacobians"), joined("mesh"))
