"""AVFR-GAN as something to learn (section 3, 'Training')."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visavis.core.errors import ConfigError
from visavis.generators.avfr.config import FOLD, AvfrConfig
from visavis.generators.avfr.generator import AvfrGenerator
from visavis.generators.avfr.mesh_model import MeshModel
from visavis.generators.avfr.network import AvfrNetwork
from visavis.motion.keypoints import KeypointMotion
from visavis.nn.engine import Engine
from visavis.pipelines.load import load_generator
from visavis.runtime.compiled import compile_graphs
from visavis.training.config import TrainConfig
from visavis.training.data.dataset import Batch, Pairs
from visavis.training.losses import gradient_l1, pyramid_l1
from visavis.training.tasks.kept import FROZEN, Kept, Known, Taught
from visavis.training.tasks.pairs import Drawn, PairTask
from visavis.training.validation import Validation


class AvfrTask(PairTask):
    """Learns an AVFR network, with whichever of its parts the shape switches on."""

    family = "avfr"
    model_class = AvfrConfig
    pools = True
    presets: ClassVar[Mapping[str, Callable[[], Any]]] = {
        "compact256": AvfrConfig.compact256,
        "paper256": AvfrConfig.paper256,
        "live256": AvfrConfig.live256,
        "tiny": AvfrConfig.tiny,
    }

    def __init__(
        self, config: TrainConfig, pairs: Pairs, shown: Batch | None = None, validation: Validation | None = None
    ) -> None:
        super().__init__(config, pairs, shown, validation)
        self._kept = _keeping(config, pairs, self.network) if config.pool else None

    @classmethod
    def mesh_coefficients(cls, model: AvfrConfig) -> int:
        """Those that travel in the motion."""
        return model.mesh_coefficients

    def build(self) -> AvfrNetwork:
        """A new network that has the face model of the data."""
        network = AvfrNetwork(self.config.model)
        if self.config.model.mesh_motion:
            network.mesh_model.mean.copy_(torch.from_numpy(self.pairs.model.mean))
            network.mesh_model.basis.copy_(torch.from_numpy(self.pairs.model.basis))
        return network

    @classmethod
    def fixed_in(cls, model: AvfrConfig, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The linear face model, in a network that moves by the mesh: its coefficients mean something to no other."""
        wanted = MeshModel(model.mesh_coefficients).state_dict()
        found = {
            f"face.{name}": tensors[inside].float()
            for name, alike in wanted.items()
            if (inside := f"mesh_model.{name}") in tensors and tensors[inside].shape == alike.shape
        }
        # Damaged weights are refused by name where all their tensors are loaded.
        return found if len(found) == len(wanted) else {}

    def detect(self, network: nn.Module, picture: Tensor, prior: Tensor) -> KeypointMotion:
        """Equation 1."""
        assert isinstance(network, AvfrNetwork)
        return network.detect(picture, prior if network.config.structural_prior else None)

    def draw(self, network: nn.Module, batch: Batch) -> Drawn:
        """The whole of figure 2; of pairs of a pool what frozen parts make of them is known."""
        assert isinstance(network, AvfrNetwork)
        if self._kept is not None and network is self.network and bool((batch.number >= 0).all()):
            return self._drawn(network, batch, self._kept.known(batch))
        source = network.detect(batch.source, batch.source_prior, batch.source_mesh)
        driving = network.detect(batch.driving, batch.driving_prior, batch.driving_mesh)
        still = network.encode(batch.source, source, batch.source_prior)
        out = network.render(still, driving, batch.driving_prior[:, :1], batch.mel)
        return Drawn(out.picture, out.warped, driving, out.layers, out.shares)

    def _drawn(self, network: AvfrNetwork, batch: Batch, known: Known) -> Drawn:
        still = network.still(batch.source, known.looked, known.source, batch.source_prior, known.background)
        moved = network.warp(still, *network.motion.choose(network.motion.judge(known.seen), known.motions))
        folded = F.pixel_unshuffle(batch.driving_prior[:, :1], FOLD) if network.config.mesh_motion else None
        mel = batch.mel if network.config.sound else None
        painted = network.paint(moved, folded, mel, still.background, still.small_background)
        beside = (painted.layers, painted.shares, moved.grid, known.taught)
        return AvfrDrawn(painted.picture, moved.warped, known.driving, *beside)

    def terms(self, drawn: Drawn, batch: Batch, step: int) -> dict[str, Tensor]:
        """Those of the base, and what a teacher shows."""
        losses, weights = super().terms(drawn, batch, step), self.config.losses
        if isinstance(drawn, AvfrDrawn) and drawn.taught is not None:
            pixels = drawn.grid.shape[1] / 2 * FOLD
            losses["teacher_grid"] = weights.teacher_grid * pixels * (drawn.grid - drawn.taught.grid).abs().mean()
            shown = drawn.taught.picture
            if shown is not None:
                picture = weights.l1 * pyramid_l1(drawn.picture, shown, batch.weight)
                picture = picture + weights.gradient * gradient_l1(drawn.picture, shown, batch.weight)
                losses["teacher"] = weights.teacher * picture
        return losses


@dataclass(frozen=True)
class AvfrDrawn(Drawn):
    """What was made of a pair of the pool.

    Attributes:
        grid: dense motion ``[B, S/4, S/4, 2]``.
        taught: what the teacher made of it, or None.
    """

    grid: Tensor = field(default_factory=lambda: torch.zeros(0))
    taught: Taught | None = None


def _keeping(config: TrainConfig, pairs: Pairs, network: nn.Module) -> Kept:
    assert isinstance(network, AvfrNetwork)
    learning = [name for name in FROZEN if name not in config.frozen and _holds(network, name)]
    if learning:
        raise ConfigError(f"a 'pool' keeps what frozen parts make of a pair: 'frozen' lacks {', '.join(learning)}")
    if not config.teacher:
        return Kept(network, pairs)
    teacher = load_generator(config.teacher, Engine("cpu", "fp32", torch.get_num_threads()), fold=False)
    if not isinstance(teacher, AvfrGenerator):
        raise ConfigError(f"teacher '{config.teacher}': is of family '{teacher.family}', not 'avfr'")
    teacher.fold(compile_graphs)
    return Kept(network, pairs, teacher, pictures=config.losses.teacher > 0)


def _holds(network: nn.Module, name: str) -> bool:
    return any(part == name for part, _ in network.named_modules())
