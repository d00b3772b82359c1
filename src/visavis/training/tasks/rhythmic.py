"""The 3D-aware generative network as something to learn (sections 4.1 to 4.4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from visavis.core.config import check_ranges
from visavis.face.model3d import load_face_model, rigid_weights
from visavis.face.rigid import cameras_of
from visavis.generators.rhythmic.aim import Aimer
from visavis.generators.rhythmic.config import RhythmicConfig
from visavis.generators.rhythmic.network import Aim, Rendering, RhythmicNetwork
from visavis.generators.rhythmic.projection import PositionMaps, chosen, frontal, matched
from visavis.training.data.face_shape import face_shape
from visavis.training.data.gathered import WindowBatch
from visavis.training.data.windows import FaceShape
from visavis.training.panel import JudgeConfig
from visavis.training.perceived import Perceived
from visavis.training.rhythmic_losses import RhythmicLosses, picture_losses
from visavis.training.task import Outcome
from visavis.training.tasks.windows import Sampling, WindowData, WindowTask


@dataclass(frozen=True)
class RhythmicData(WindowData):
    """How samples are drawn, beside what all tasks have.

    Attributes:
        single: how often a batch shows one reference alone, where any number of them will do.
        worse: how often the matched picture is any of the references and not the nearest (section 4.1).
    """

    single: float = 0.5
    worse: float = 0.3

    def __post_init__(self) -> None:
        """Refuse what is no share."""
        super().__post_init__()
        check_ranges(self, {"single": (0, 1), "worse": (0, 1)})


@dataclass(frozen=True)
class _Drawn:
    """What the network made, and of what.

    Attributes:
        out: the generator's work.
        aim: what it was told.
        source: the frontal picture, ``[B, 3, S, S]``.
        positions: what the unprojection network found in it, and the true vertices; None without one.
    """

    out: Rendering
    aim: Aim
    source: Tensor
    positions: tuple[Tensor, Tensor] | None

    @property
    def picture(self) -> Tensor:
        return self.out.picture


class RhythmicTask(WindowTask[_Drawn]):
    """Learns Theta, judged by D_1 and D_2."""

    family = "rhythmic"
    model_class = RhythmicConfig
    losses_class = RhythmicLosses
    data_class: ClassVar[type | None] = RhythmicData
    presets: ClassVar[Mapping[str, Callable[[], Any]]] = {
        "compact256": RhythmicConfig.compact256,
        "paper256": RhythmicConfig.paper256,
        "tiny": RhythmicConfig.tiny,
    }
    judges: ClassVar[Mapping[str, JudgeConfig] | None] = {
        "picture": JudgeConfig("spade", 64, 4, "picture", "face", "hinge", 1.0, 10.0),
    }
    _step = 0

    @classmethod
    def samples(cls, model: RhythmicConfig) -> Sampling:
        """K references and the frame that is wanted."""
        return Sampling(model.size, model.raster, 0, model.references)

    @classmethod
    def face(cls, model: RhythmicConfig) -> FaceShape:
        """The packaged one, with the irises where they are drawn."""
        return face_shape(irises=model.irises, landmarks=not model.nmfc)

    def build(self) -> RhythmicNetwork:
        """Theta."""
        return RhythmicNetwork(self.config.model)

    def perceives(self) -> Perceived | None:
        """L_PCT, of our pyramid's term where a share is asked for."""
        return Perceived.chosen(self.config.perceptual, self.config.losses, l1=self.config.losses.pyramid)

    def to(self, device: torch.device) -> None:
        """Move the networks, the clips and the face to ``device``."""
        super().to(device)
        shape, mean = self.shape, torch.from_numpy(load_face_model().mean.copy())
        triangles, colours, eyes = (
            torch.from_numpy(part).to(device) for part in (shape.triangles, shape.colours, shape.eyes)
        )
        self.aimer = Aimer(self.config.model, triangles, colours, eyes)
        self.mean, self.weights = mean.to(device), torch.from_numpy(rigid_weights()).to(device)
        self.maps = PositionMaps(mean, triangles)

    def losses(self, batch: Any, step: int) -> Outcome:
        """See the base; the step says what is random in drawing."""
        self._step = step
        return super().losses(batch, step)

    def draw(self, network: nn.Module, batch: WindowBatch) -> _Drawn:
        """Figure 2, from the references to the frame."""
        assert isinstance(network, RhythmicNetwork)
        random = np.random.default_rng([self.config.seed, 1, self._step]) if network.training else None
        shown = self._shown(random)
        pictures, faces = batch.references[:, :shown], batch.reference_faces[:, :shown]
        target = batch.faces[:, -1]
        cameras, camera = (cameras_of(points, self.mean, self.weights) for points in (faces, target))
        landmarks = self.aimer.landmarks(batch.reference_index[:, :shown], faces)
        still = network.encode(pictures, landmarks, batch.person[:, :shown])
        source, positions, mesh = frontal(cameras), None, None
        if self.config.model.unprojection:
            found = network.unprojection(chosen(pictures, source))
            positions, mesh = (found, chosen(faces, source)), self.maps.mesh(found)
        match = None if random is None else self._match(random, camera, cameras)
        aim = self.aimer.aim(batch.index[:, -1], target, camera, faces, cameras, mesh=mesh, match=match)
        return _Drawn(network.render(still, aim), aim, chosen(pictures, source), positions)

    def _shown(self, random: np.random.Generator | None) -> int:
        """How many references a batch shows."""
        most = self.config.model.references
        if random is None or self.config.model.gate == "all" or most == 1:
            return int(most)
        return 1 if random.random() < self.config.data.single else int(random.integers(2, most + 1))

    def _match(self, random: np.random.Generator, camera: Tensor, cameras: Tensor) -> Tensor:
        """t_s: the nearest reference, or sometimes any, which makes the network robust to matches that are worse."""
        count, shown = cameras.shape[:2]
        nearest = matched(camera, cameras)
        worse = torch.from_numpy(random.random(count) < self.config.data.worse).to(camera.device)
        any_one = torch.from_numpy(random.integers(0, shown, count)).to(camera.device)
        return torch.where(worse, any_one, nearest)

    def terms(self, drawn: _Drawn, batch: WindowBatch, step: int) -> dict[str, Tensor]:
        """Equation 8 without its judges, and the losses that we add."""
        weights = self.config.losses
        losses = picture_losses(weights, drawn.out, batch.driving, batch.weight)
        if drawn.positions is not None and weights.unprojection:
            losses["unprojection"] = weights.unprojection * self.maps.loss(*drawn.positions)
        return losses

    def conditions(self) -> dict[str, int]:
        """The landmark image."""
        return {"face": self.config.model.drawn}

    def condition(self, given: str, drawn: _Drawn, batch: WindowBatch) -> Tensor:
        """The landmark image at the size of the pictures."""
        size = self.sampling.size
        return nn.functional.interpolate(drawn.aim.landmark, (size, size), mode="nearest")

    def columns(self, drawn: _Drawn, batch: WindowBatch) -> list[Tensor]:
        """Frontal reference, landmark image, driving frame, projected and matched picture, what was made of them."""
        landmark = self.condition("face", drawn, batch)[:, :3].expand(-1, 3, -1, -1)
        return [drawn.source, landmark, batch.driving, drawn.out.projected, drawn.out.matched, drawn.picture]
