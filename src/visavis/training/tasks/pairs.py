"""What tasks share that learn to redraw one frame of a clip from another: data, losses, sheets."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from typing_extensions import Self

from visavis.face.morphable import LinearFaceModel
from visavis.judges.discriminators import PatchDiscriminator, PictureAndMouth
from visavis.motion.keypoints import KeypointMotion
from visavis.nn.warp import sample
from visavis.training.config import TrainConfig
from visavis.training.data.dataset import Batch, Clip, Pairs, learn_face_model, load_clips
from visavis.training.data.resident import Picks, Resident, fits
from visavis.training.judging import judged
from visavis.training.losses import (
    Deformation,
    LossWeights,
    choice_l1,
    discriminator_loss,
    equivariance,
    gradient_l1,
    pyramid_l1,
    structure_loss,
    texture_l1,
)
from visavis.training.perceived import Perceived
from visavis.training.task import Outcome
from visavis.training.tasks.redrawing import SHEET_CLIPS, RedrawingTask, in_columns
from visavis.training.validation import Validation


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


class PairTask(RedrawingTask[Batch, Drawn]):
    """Base of the tasks that learn from pairs of frames; a family adds its network and how to run it.

    Args:
        config: settings of the run.
        pairs: where batches come from.
        shown: the batch of validation pairs that sheets show, or None.
        validation: what is measured while training, or None.
    """

    losses_class: ClassVar[type] = LossWeights

    def __init__(
        self, config: TrainConfig, pairs: Pairs, shown: Batch | None = None, validation: Validation | None = None
    ) -> None:
        self.pairs, self.shown, self.validation = pairs, shown, validation
        super().__init__(config)
        weights: LossWeights = config.losses
        self.judge: PatchDiscriminator | PictureAndMouth | None = None
        if weights.adversarial:
            self.judge = PictureAndMouth() if weights.adversarial_mouth else PatchDiscriminator()
        self.resident: Resident | None = None

    @classmethod
    def start(cls, config: TrainConfig, data: Path, stored: Mapping[str, Tensor], say: Callable[[str], None]) -> Self:
        """Decode the clips into memory, learn the face model if none is stored, and build the networks."""
        clips = load_clips(data, config.split, config.stride)
        say(f"{len(clips)} clips, {sum(len(clip.pictures) for clip in clips)} frames in memory")
        if "face.mean" in stored:
            face_model = LinearFaceModel(stored["face.mean"].numpy(), stored["face.basis"].numpy())
        else:
            face_model = learn_face_model(clips, cls.mesh_coefficients(config.model))
        most = None if config.validate_every_s else SHEET_CLIPS
        unseen = load_clips(data, "val", 5 * config.stride, most=most, needed=False)
        shown = (unseen or clips)[:SHEET_CLIPS]
        validation = _validation(config, unseen, face_model) if config.validate_every_s and unseen else None
        task = cls(config, _pairs(config, clips, face_model), _shown(config, shown, face_model), validation)
        task.restore(stored)
        return task

    @classmethod
    def mesh_coefficients(cls, model: Any) -> int:
        """How many shape coefficients the linear face model has that draws this network's meshes."""
        return 40

    @abstractmethod
    def detect(self, network: nn.Module, picture: Tensor, prior: Tensor) -> KeypointMotion:
        """Keypoints of pictures ``[B, 3, S, S]`` with drawing and segmentation ``[B, 2, S, S]``."""

    def perceives(self) -> Perceived | None:
        """Beside the term of the pyramid."""
        return Perceived.chosen(self.config.perceptual, self.config.losses, l1=self.config.losses.l1)

    def to(self, device: torch.device) -> None:
        """Move the networks to ``device``, and the clips too where they are to live there."""
        super().to(device)
        memory = self.config.memory
        if memory == "device" or (memory == "auto" and fits(self.pairs, device)):
            self.resident = Resident(self.pairs, device)
            if self.validation is not None:
                self.validation.live_on(device)

    def batch(self, step: int, count: int) -> Batch | Picks:
        """Batch number ``step`` of ``count`` pairs; of clips on the device, which frames it holds."""
        if self.resident is None:
            return self.pairs.batch(step, count)
        return self.resident.picks(self.pairs.draws(step, count))

    def terms(self, drawn: Drawn, batch: Batch, step: int) -> dict[str, Tensor]:
        """Equation 4 of AVFR-GAN and the losses that we add, those that count."""
        weights, real, made = self.config.losses, batch.driving, drawn.picture
        losses = {
            "l1": weights.l1 * pyramid_l1(made, real, batch.weight),
            "gradient": weights.gradient * gradient_l1(made, real, batch.weight),
            "structure": weights.structure * structure_loss(made, real),
        }
        if weights.texture:
            losses["texture"] = weights.texture * texture_l1(made, real)
        if weights.warp:
            losses["warp"] = weights.warp * pyramid_l1(drawn.warped.float(), real, batch.weight)
        if weights.choice and drawn.shares is not None:
            losses["choice"] = weights.choice * choice_l1(drawn.layers, drawn.shares, real)
        if weights.equivariance_points or weights.equivariance_jacobians:
            points, frames = self._equivariance(batch, drawn.driving, step)
            losses["equivariance_points"] = weights.equivariance_points * points
            losses["equivariance_jacobians"] = weights.equivariance_jacobians * frames
        return losses

    def judged(self, drawn: Drawn, batch: Batch) -> Outcome:
        """Of the picture, and of the mouth where one looks at it alone."""
        weights = self.config.losses
        if self.judge is None or self.done < weights.adversarial_from:
            return Outcome()
        return judged(self.judge, drawn.picture, batch.driving, batch.mouth, weights)

    def judge_loss(self, logits: Sequence[Tensor]) -> Tensor:
        """Equation 3, summed over the judges."""
        return torch.stack([discriminator_loss(*part.float().chunk(2)) for part in logits]).sum()

    def judge_groups(self) -> list[dict[str, Any]]:
        """All with the run's learning rate."""
        return [] if self.judge is None else [{"params": list(self.judge.parameters())}]

    def whole(self, batch: Batch | Picks) -> Batch:
        """Gather what lives on the device."""
        if isinstance(batch, Batch):
            return batch
        assert self.resident is not None, "picks come from clips on the device"
        return self.resident.gather(batch)

    def _equivariance(self, batch: Batch, driving: KeypointMotion, step: int) -> tuple[Tensor, Tensor]:
        real = batch.driving
        # The step's number seeds the deformation, so that a resumed run draws the same ones.
        generator = torch.Generator().manual_seed(self.config.seed * 1_000_003 + step)
        deformation = Deformation.random(real.shape[0], generator, real.device)
        grid = deformation.grid(real.shape[-1])
        deformed = self.detect(self.network, sample(real, grid), sample(batch.driving_prior, grid))
        return equivariance(driving, deformed, deformation)

    def fixed(self) -> Mapping[str, Tensor]:
        """The linear face model, and the weight of the perceptual term where it was measured."""
        model = self.pairs.model
        found = {"face.mean": torch.from_numpy(model.mean), "face.basis": torch.from_numpy(model.basis)}
        return {**found, **super().fixed()}

    def validate(self, network: nn.Module) -> Mapping[str, float]:
        """Psnr, l1 and mouth sharpness on the validation clips."""
        if self.validation is None:
            return {}
        device = next(network.parameters()).device
        return self.validation.measure(lambda batch: self.draw(network, batch).picture, device)

    @torch.no_grad()
    def sheet(self, network: nn.Module) -> NDArray[np.uint8] | None:
        """A row a pair: source, driving frame, what ``network`` makes of them."""
        if self.shown is None:
            return None
        device = next(network.parameters()).device
        made = self.draw(network, self.shown.to(device)).picture
        return in_columns([self.shown.source, self.shown.driving, made])


def _pairs(config: TrainConfig, clips: list[Clip], face_model: LinearFaceModel) -> Pairs:
    return Pairs(
        clips,
        face_model,
        size=config.model.size,
        seed=config.seed,
        region_weight=config.region_weight,
        far_share=config.far_share,
        jitter=config.jitter,
        mirrored=config.mirrored,
        pool=config.pool,
        drivings=config.drivings,
    )


def _validation(config: TrainConfig, clips: list[Clip], face_model: LinearFaceModel) -> Validation:
    return Validation(Pairs(clips, face_model, size=config.model.size, jitter=0.0), config.validate_frames)


def _shown(config: TrainConfig, clips: list[Clip], face_model: LinearFaceModel) -> Batch:
    """One pair of each clip, the same in every run of these clips whatever its seed."""
    batches = [Pairs([clip], face_model, size=config.model.size, jitter=0.0).batch(0, 1) for clip in clips]
    return Batch(*[torch.cat(column) for column in zip(*(vars(batch).values() for batch in batches), strict=True)])
