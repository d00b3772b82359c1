"""What tasks share that learn to redraw one frame of a clip from another: data, losses, sheets."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from typing_extensions import Self

from visavis.face.morphable import LinearFaceModel
from visavis.motion.types import KeypointMotion
from visavis.nn.discriminators import PatchDiscriminator
from visavis.nn.perceptual import choose
from visavis.nn.warp import sample
from visavis.training.config import TrainConfig
from visavis.training.data.dataset import Batch, Clip, Pairs, learn_face_model, load_clips
from visavis.training.losses import (
    Deformation,
    LossWeights,
    choice_l1,
    equivariance,
    feature_matching,
    generator_adversarial_loss,
    gradient_l1,
    pyramid_l1,
    structure_loss,
)
from visavis.training.task import Outcome

_SHEET_CLIPS = 6


@dataclass(frozen=True)
class Drawn:
    """What a network made of a batch, as far as losses care.

    Attributes:
        picture: ``[B, 3, S, S]`` in [0, 1].
        warped: the source moved by the dense motion alone, same shape.
        driving: keypoints of the driving pictures.
        layers, shares: of a composite, as in :func:`visavis.training.losses.choice_l1`; shares are None without one.
    """

    picture: Tensor
    warped: Tensor
    driving: KeypointMotion
    layers: tuple[Tensor, ...] = ()
    shares: Tensor | None = None


class PairTask:
    """Base of the tasks that learn from pairs of frames; a family adds its network and how to run it.

    Args:
        config: settings of the run.
        pairs: where batches come from.
        shown: the batch of validation pairs that sheets show, or None.
    """

    family: ClassVar[str]
    model_class: ClassVar[type]
    losses_class: ClassVar[type] = LossWeights
    presets: ClassVar[Mapping[str, Callable[[], Any]]]
    of_data: ClassVar[tuple[str, ...]] = ()

    def __init__(self, config: TrainConfig, pairs: Pairs, shown: Batch | None = None) -> None:
        torch.manual_seed(config.seed)
        self.config, self.pairs, self.shown = config, pairs, shown
        self.network = self.build()
        self.perceptual: nn.Module | None = None
        if config.losses.perceptual and config.perceptual != "none":
            self.perceptual = choose(config.perceptual, torch.device("cpu"))
        self.judge: PatchDiscriminator | None = PatchDiscriminator() if config.losses.adversarial else None

    @classmethod
    def start(cls, config: TrainConfig, data: Path, stored: Mapping[str, Tensor], say: Callable[[str], None]) -> Self:
        """Decode the clips into memory, learn the face model if none is stored, and build the networks."""
        clips = load_clips(data, config.split, config.stride)
        say(f"{len(clips)} clips, {sum(len(clip.pictures) for clip in clips)} frames in memory")
        if stored:
            face_model = LinearFaceModel(stored["face.mean"].numpy(), stored["face.basis"].numpy())
        else:
            face_model = learn_face_model(clips, cls.mesh_coefficients(config.model))
        shown = load_clips(data, "val", 5 * config.stride, most=_SHEET_CLIPS, needed=False) or clips[:_SHEET_CLIPS]
        return cls(config, _pairs(config, clips, face_model), _shown(config, shown, face_model))

    @classmethod
    def mesh_coefficients(cls, model: Any) -> int:
        """How many shape coefficients the linear face model has that draws this network's meshes."""
        return 40

    @abstractmethod
    def build(self) -> nn.Module:
        """Return a new network."""

    @abstractmethod
    def detect(self, network: nn.Module, picture: Tensor, prior: Tensor) -> KeypointMotion:
        """Keypoints of pictures ``[B, 3, S, S]`` with drawing and segmentation ``[B, 2, S, S]``."""

    @abstractmethod
    def draw(self, network: nn.Module, batch: Batch) -> Drawn:
        """Redraw the driving pictures of a batch from its source pictures."""

    def to(self, device: torch.device) -> None:
        """Move the networks to ``device``."""
        for network in (self.network, self.judge):
            if network is not None:
                network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if self.perceptual is not None:
            self.perceptual.to(device)

    def batch(self, step: int, count: int) -> Batch:
        """Batch number ``step`` of ``count`` pairs."""
        return self.pairs.batch(step, count)

    def losses(self, batch: Batch, step: int) -> Outcome:
        """Equation 4 of AVFR-GAN and the losses that we add, those that count."""
        weights, real = self.config.losses, batch.driving
        drawn = self.draw(self.network, batch)
        made = drawn.picture
        losses = {
            "l1": weights.l1 * pyramid_l1(made, real, batch.weight),
            "gradient": weights.gradient * gradient_l1(made, real, batch.weight),
            "structure": weights.structure * structure_loss(made, real),
        }
        if weights.warp:
            losses["warp"] = weights.warp * pyramid_l1(drawn.warped.float(), real, batch.weight)
        if weights.choice and drawn.shares is not None:
            losses["choice"] = weights.choice * choice_l1(drawn.layers, drawn.shares, real)
        if weights.equivariance_points or weights.equivariance_jacobians:
            points, frames = self._equivariance(batch, drawn.driving, step)
            losses["equivariance_points"] = weights.equivariance_points * points
            losses["equivariance_jacobians"] = weights.equivariance_jacobians * frames
        if self.perceptual is not None:
            losses["perceptual"] = weights.perceptual * self.perceptual(made, real).mean()
        if self.judge is not None:
            judged, features = self.judge.judge(made)
            losses["adversarial"] = weights.adversarial * generator_adversarial_loss(judged.float())
            if weights.feature_matching:
                with torch.no_grad():
                    _, wanted = self.judge.judge(real)
                losses["feature_matching"] = weights.feature_matching * feature_matching(features, wanted)
        return Outcome(losses, real, made)

    def _equivariance(self, batch: Batch, driving: KeypointMotion, step: int) -> tuple[Tensor, Tensor]:
        real = batch.driving
        # The step's number seeds the deformation, so that a resumed run draws the same ones.
        generator = torch.Generator().manual_seed(self.config.seed * 1_000_003 + step)
        deformation = Deformation.random(real.shape[0], generator, real.device)
        grid = deformation.grid(real.shape[-1])
        deformed = self.detect(self.network, sample(real, grid), sample(batch.driving_prior, grid))
        return equivariance(driving, deformed, deformation)

    def fixed(self) -> Mapping[str, Tensor]:
        """The linear face model."""
        model = self.pairs.model
        return {"face.mean": torch.from_numpy(model.mean), "face.basis": torch.from_numpy(model.basis)}

    @classmethod
    def fixed_in(cls, model: Any, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Nothing, where the network does not carry the face model."""
        return {}

    def plain_config(self) -> Mapping[str, Any]:
        """The network's shape."""
        return asdict(self.config.model)

    def meta(self) -> Mapping[str, Any]:
        """The weights of the losses, and which perceptual network there was."""
        name = getattr(self.perceptual, "name", "none")
        return {"losses": asdict(self.config.losses), "perceptual": name}

    @torch.no_grad()
    def sheet(self, network: nn.Module) -> NDArray[np.uint8] | None:
        """A row a pair: source, driving frame, what ``network`` makes of them."""
        if self.shown is None:
            return None
        device = next(network.parameters()).device
        made = self.draw(network, self.shown.to(device)).picture.float().cpu()
        columns = torch.cat([self.shown.source, self.shown.driving, made], 3)
        pixels = (columns.permute(0, 2, 3, 1).flatten(0, 1) * 255).round().clamp(0, 255)
        return pixels.numpy().astype(np.uint8)


def _pairs(config: TrainConfig, clips: list[Clip], face_model: LinearFaceModel) -> Pairs:
    return Pairs(
        clips,
        face_model,
        size=config.model.size,
        seed=config.seed,
        region_weight=config.region_weight,
        far_share=config.far_share,
        jitter=config.jitter,
    )


def _shown(config: TrainConfig, clips: list[Clip], face_model: LinearFaceModel) -> Batch:
    """One pair of each clip, the same in every run of these clips whatever its seed."""
    batches = [Pairs([clip], face_model, size=config.model.size, jitter=0.0).batch(0, 1) for clip in clips]
    return Batch(*[torch.cat(column) for column in zip(*(vars(batch).values() for batch in batches), strict=True)])
