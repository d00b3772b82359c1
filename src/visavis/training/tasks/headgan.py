"""HeadGAN as something to learn (section 4.1 and appendix A)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from visavis.core.config import check_ranges
from visavis.face.surface import FaceMotion, draw_irises, face_motion, face_pictures
from visavis.generators.headgan.config import HeadganConfig
from visavis.generators.headgan.network import HeadganNetwork, Rendering, Still
from visavis.training.data.face_shape import face_shape
from visavis.training.data.gathered import WindowBatch
from visavis.training.data.heard import Heard, heard
from visavis.training.data.windows import FaceShape
from visavis.training.head_losses import HeadganLosses, picture_losses, temporal_l1
from visavis.training.panel import JudgeConfig
from visavis.training.perceived import Perceived
from visavis.training.tasks.windows import Sampling, WindowData, WindowTask


@dataclass(frozen=True)
class HeadganData(WindowData):
    """How samples are drawn, beside what all tasks have.

    Attributes:
        temporal_share: on how much of a batch the temporal loss is computed, which wants the window before too.
    """

    temporal_share: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what is no share."""
        super().__post_init__()
        check_ranges(self, {"temporal_share": (0, 1)})


@dataclass(frozen=True)
class _Drawn:
    """What the network made, and of what.

    Attributes:
        out: the generator's work.
        faces: pictures of the faces of one window more than the network sees, ``[B, 3 (k + 2), r, r]``.
        before: of the first rows, the features that were warped for the frame before.
    """

    out: Rendering
    faces: Tensor
    before: list[Tensor] | None

    @property
    def picture(self) -> Tensor:
        return self.out.picture


class HeadganTask(WindowTask[_Drawn]):
    """Learns F and R, judged by D and D_m."""

    family = "headgan"
    model_class = HeadganConfig
    losses_class = HeadganLosses
    data_class: ClassVar[type | None] = HeadganData
    presets: ClassVar[Mapping[str, Callable[[], Any]]] = {
        "compact256": HeadganConfig.compact256,
        "paper256": HeadganConfig.paper256,
        "tiny": HeadganConfig.tiny,
    }
    judges: ClassVar[Mapping[str, JudgeConfig] | None] = {
        "picture": JudgeConfig("spade", 64, 4, "picture", "face", "hinge", 1.0, 10.0),
        "mouth": JudgeConfig("spade", 64, 4, "mouth", "sound", "hinge", 1.0, 10.0),
    }

    @classmethod
    def samples(cls, model: HeadganConfig) -> Sampling:
        """One frame more than the network remembers, for the temporal loss."""
        return Sampling(model.size, model.raster, model.memory + 1, sound=model.sound)

    @classmethod
    def face(cls, model: HeadganConfig) -> FaceShape:
        """The packaged one, with the irises where they are drawn."""
        return face_shape(irises=model.irises, landmarks=model.landmarks)

    @classmethod
    def hears(cls, model: HeadganConfig, data: Path) -> Heard | None:
        """Speech as it was heard beside the shards, or is heard now."""
        return heard(data) if model.sound else None

    def build(self) -> HeadganNetwork:
        """F and R."""
        return HeadganNetwork(self.config.model)

    def perceives(self) -> Perceived | None:
        """Equation 7, of our pyramid's term where a share is asked for."""
        return Perceived.chosen(self.config.perceptual, self.config.losses, l1=self.config.losses.pyramid)

    def to(self, device: torch.device) -> None:
        """Move the networks, the clips and the face to ``device``."""
        super().to(device)
        self.triangles, self.colours, self.eyes = (
            torch.from_numpy(part).to(device) for part in (self.shape.triangles, self.shape.colours, self.shape.eyes)
        )

    def draw(self, network: nn.Module, batch: WindowBatch) -> _Drawn:
        """Figure 2, and where the temporal loss counts its first half for the frame before."""
        assert isinstance(network, HeadganNetwork)
        memory = self.config.model.memory
        reference = self._pictures(batch.reference_index[:, :1], batch.reference_faces[:, :1])
        faces, motion = self._pictures(batch.index, batch.faces), self._motion(batch, -1, len(batch.driving))
        still = network.encode(batch.references[:, 0], reference, batch.person[:, 0])
        before = None
        count = round(self.config.data.temporal_share * len(batch.driving))
        if self.config.losses.temporal and network.training and count:
            before = self._before(network, still, batch, faces[:count])
        return _Drawn(network.render(still, faces[:, -3 * (memory + 1) :], motion, batch.sound), faces, before)

    def _before(self, network: HeadganNetwork, still: Still, batch: WindowBatch, faces: Tensor) -> list[Tensor]:
        count, memory = len(faces), self.config.model.memory
        window = faces[:, -3 * (memory + 2) : -3]
        return list(network.warp(still.first(count), window, self._motion(batch, -2, count)).features)

    def _motion(self, batch: WindowBatch, frame: int, count: int) -> FaceMotion | None:
        """Of one frame of the first windows, where the mesh gives the flow."""
        if not self.config.model.mesh_flow:
            return None
        source = batch.reference_faces[:count, 0]
        return face_motion(batch.index[:count, frame], batch.faces[:count, frame], source, self.triangles)

    def _pictures(self, index: Tensor, vertices: Tensor) -> Tensor:
        faces = face_pictures(index, self.colours)
        return draw_irises(faces, index, vertices, self.eyes) if self.config.model.irises else faces

    def terms(self, drawn: _Drawn, batch: WindowBatch, step: int) -> dict[str, Tensor]:
        """Equations 6 to 8 and the losses that we add."""
        weights, out = self.config.losses, drawn.out
        losses = picture_losses(weights, out, batch.driving, batch.weight)
        if drawn.before is not None:
            count = len(drawn.before[0])
            now = [x[:count] for x in out.warped.features]
            losses["temporal"] = weights.temporal * temporal_l1(drawn.before, now)
        if self.perceived is not None and weights.warp_perceptual:
            distance = self.perceived.network(out.warped.picture.float(), batch.driving).mean()
            losses["warp_perceptual"] = weights.warp_perceptual * distance
        return losses

    def conditions(self) -> dict[str, int]:
        """The driving face's picture, and the sound."""
        return {"face": 3, **super().conditions()}

    def condition(self, given: str, drawn: _Drawn, batch: WindowBatch) -> Tensor:
        """As D and D_m have them (appendix B.2)."""
        return self._shown(drawn) if given == "face" else super().condition(given, drawn, batch)

    def _shown(self, drawn: _Drawn) -> Tensor:
        """The driving face at the size of the pictures."""
        size = self.sampling.size
        return nn.functional.interpolate(drawn.faces[:, -3:], (size, size), mode="nearest")

    def columns(self, drawn: _Drawn, batch: WindowBatch) -> list[Tensor]:
        """Reference, driving face, driving frame, warped reference, what was made of them."""
        return [batch.references[:, 0], self._shown(drawn), batch.driving, drawn.out.warped.picture, drawn.picture]
