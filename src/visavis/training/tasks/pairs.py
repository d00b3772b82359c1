"""What tasks share that learn to redraw one frame of a clip from another: data, losses, sheets."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from typing_extensions import Self

from visavis.face.morphable import LinearFaceModel
from visavis.judges.discriminators import PatchDiscriminator, PictureAndMouth
from visavis.judges.perceptual import PerceptualDistance, choose
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
)
from visavis.training.mouth import mouth_crop
from visavis.training.task import Outcome
from visavis.training.validation import Validation

_SHEET_CLIPS = 6
# Pairs on which the weight of the perceptual term is measured.
_MEASURED_BATCHES, _MEASURED_PAIRS = 4, 16
_PERCEPTUAL_WEIGHT = "perceptual.weight"


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
        validation: what is measured while training, or None.
    """

    family: ClassVar[str]
    model_class: ClassVar[type]
    losses_class: ClassVar[type] = LossWeights
    presets: ClassVar[Mapping[str, Callable[[], Any]]]
    of_data: ClassVar[tuple[str, ...]] = ()
    data_class: ClassVar[type | None] = None
    judges: ClassVar[None] = None

    done: float = 0.0

    def __init__(
        self, config: TrainConfig, pairs: Pairs, shown: Batch | None = None, validation: Validation | None = None
    ) -> None:
        torch.manual_seed(config.seed)
        weights: LossWeights = config.losses
        self.config, self.pairs, self.shown, self.validation = config, pairs, shown, validation
        self.network = self.build()
        self.perceptual: PerceptualDistance | None = None
        if (weights.perceptual or weights.perceptual_share) and config.perceptual != "none":
            self.perceptual = choose(config.perceptual, torch.device("cpu"))
        # A share of the L1 term becomes a weight when the first batch is there.
        self._perceptual_weight = None if weights.perceptual_share else weights.perceptual
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
        most = None if config.validate_every_s else _SHEET_CLIPS
        unseen = load_clips(data, "val", 5 * config.stride, most=most, needed=False)
        shown = (unseen or clips)[:_SHEET_CLIPS]
        validation = _validation(config, unseen, face_model) if config.validate_every_s and unseen else None
        task = cls(config, _pairs(config, clips, face_model), _shown(config, shown, face_model), validation)
        if _PERCEPTUAL_WEIGHT in stored:
            task._perceptual_weight = float(stored[_PERCEPTUAL_WEIGHT])
        return task

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
        """Move the networks to ``device``, and the clips too where they are to live there."""
        for network in (self.network, self.judge):
            if network is not None:
                network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if self.perceptual is not None:
            self.perceptual.to(device)
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

    def losses(self, batch: Batch | Picks, step: int) -> Outcome:
        """Equation 4 of AVFR-GAN and the losses that we add, those that count."""
        batch = self._whole(batch)
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
            if self._perceptual_weight is None:
                self._perceptual_weight = self._measured_weight(real.device)
            losses["perceptual"] = self._perceptual_weight * self._perceptual_distance(made, batch)
        if self.judge is None or self.done < weights.adversarial_from:
            return Outcome(losses)
        said = judged(self.judge, made, real, batch.mouth, weights)
        return Outcome({**losses, **said.losses}, said.real, said.made)

    def judge_loss(self, logits: Sequence[Tensor]) -> Tensor:
        """Equation 3, summed over the judges."""
        return torch.stack([discriminator_loss(*part.float().chunk(2)) for part in logits]).sum()

    def judge_groups(self) -> list[dict[str, Any]]:
        """All with the run's learning rate."""
        return [] if self.judge is None else [{"params": list(self.judge.parameters())}]

    def _whole(self, batch: Batch | Picks) -> Batch:
        if isinstance(batch, Batch):
            return batch
        assert self.resident is not None, "picks come from clips on the device"
        return self.resident.gather(batch)

    def _perceptual_distance(self, made: Tensor, batch: Batch) -> Tensor:
        """L_per of the picture, and of the mouth where it counts."""
        assert self.perceptual is not None
        distance = self.perceptual(made, batch.driving).mean()
        share = self.config.losses.perceptual_mouth
        if share:
            mouths = [mouth_crop(picture, batch.mouth) for picture in (made, batch.driving)]
            distance = distance + share * self.perceptual(*mouths).mean()
        return distance

    @torch.no_grad()
    def _measured_weight(self, device: torch.device) -> float:
        """Weight at which the perceptual term is the wanted share of the L1 term, for the network as it is now."""
        weights, network = self.config.losses, deepcopy(self.network)  # batch norm of the copy alone takes notice
        terms = torch.zeros(2, device=device)
        for number in range(_MEASURED_BATCHES):
            batch = self._whole(self.batch(number, min(self.config.batch, _MEASURED_PAIRS)).to(device))
            made = self.draw(network, batch).picture
            l1 = weights.l1 * pyramid_l1(made, batch.driving, batch.weight)
            terms += torch.stack([l1, self._perceptual_distance(made, batch)]).float()
        l1_term, distance = terms.tolist()
        return float(weights.perceptual_share * l1_term / max(distance, 1e-12))

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
        if self.config.losses.perceptual_share and self._perceptual_weight is not None:
            found[_PERCEPTUAL_WEIGHT] = torch.tensor(self._perceptual_weight, dtype=torch.float64)
        return found

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
        mirrored=config.mirrored,
    )


def _validation(config: TrainConfig, clips: list[Clip], face_model: LinearFaceModel) -> Validation:
    return Validation(Pairs(clips, face_model, size=config.model.size, jitter=0.0), config.validate_frames)


def _shown(config: TrainConfig, clips: list[Clip], face_model: LinearFaceModel) -> Batch:
    """One pair of each clip, the same in every run of these clips whatever its seed."""
    batches = [Pairs([clip], face_model, size=config.model.size, jitter=0.0).batch(0, 1) for clip in clips]
    return Batch(*[torch.cat(column) for column in zip(*(vars(batch).values() for batch in batches), strict=True)])
