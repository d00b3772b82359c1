"""One training step, and the loop around it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from visavis.core.errors import ConfigError, VisavisError
from visavis.face.morphable import LinearFaceModel
from visavis.generators.avfr.network import AvfrNetwork
from visavis.nn.discriminators import PatchDiscriminator
from visavis.nn.perceptual import Lpips
from visavis.nn.warp import sample
from visavis.training.config import TrainConfig
from visavis.training.data.dataset import Batch, Pairs
from visavis.training.losses import (
    Deformation,
    choice_l1,
    discriminator_loss,
    equivariance,
    generator_adversarial_loss,
    gradient_l1,
    pyramid_l1,
    structure_loss,
)

_WARM_UP = 100
_CLIP_NORM = 5.0


class DivergedError(VisavisError):
    """A loss is not a number; the last good checkpoint is kept."""


@dataclass
class StepLog:
    """Losses of one step, already weighted, by name."""

    step: int
    losses: dict[str, float]
    seconds: float


def learning_rate_share(config: TrainConfig, step: int) -> float:
    """Share of the initial learning rate at ``step`` (AVFR-GAN, 'Implementation Details', or cosine)."""
    done = step / config.steps
    if config.schedule == "paper":
        return 0.1 ** ((done >= 0.6) + (done >= 0.9))
    warm = min(1.0, (step + 1) / min(_WARM_UP, config.steps))
    return warm * max(0.0, 0.5 * (1 + math.cos(math.pi * min(done, 1.0))))


class Trainer:
    """Holds networks, optimisers and the averaged weights; :meth:`step` is the whole of the method.

    Args:
        config: settings of the run.
        device: where to compute.
        face_model: linear face model whose values the batches carry.
    """

    def __init__(self, config: TrainConfig, device: torch.device, face_model: LinearFaceModel) -> None:
        torch.manual_seed(config.seed)
        self.config, self.device = config, device
        network = AvfrNetwork(config.model)
        if config.model.mesh_motion:
            network.mesh_model.mean.copy_(torch.from_numpy(face_model.mean))
            network.mesh_model.basis.copy_(torch.from_numpy(face_model.basis))
        self.network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.averaged = deepcopy(self.network).eval().requires_grad_(False)
        self.optimiser = torch.optim.Adam(self.network.parameters(), config.learning_rate, betas=(0.5, 0.999))
        self.perceptual: Lpips | None = None
        if config.losses.perceptual:
            if not config.perceptual:
                raise ConfigError("losses.perceptual counts, but 'perceptual' names no file of LPIPS weights")
            self.perceptual = Lpips.from_file(Path(config.perceptual)).to(device)
        self.discriminator: PatchDiscriminator | None = None
        if config.losses.adversarial:
            self.discriminator = PatchDiscriminator().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
            parameters = self.discriminator.parameters()
            self.judge = torch.optim.Adam(parameters, config.learning_rate, betas=(0.5, 0.999))
        self.steps_done = 0

    def step(self, batch: Batch) -> dict[str, Tensor]:
        """Learn from one batch; returns the weighted losses, detached."""
        batch = batch.to(self.device)
        share = learning_rate_share(self.config, self.steps_done)
        for group in self.optimiser.param_groups:
            group["lr"] = share * self.config.learning_rate
        self.network.train()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bf16"):
            losses, made = self._generator_losses(batch)
        total = torch.stack(list(losses.values())).sum()
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), _CLIP_NORM)
        self.optimiser.step()
        if self.discriminator is not None:
            losses["discriminator"] = self._discriminator_step(batch.driving, made.detach(), share)
        self._average()
        self.steps_done += 1
        return {name: loss.detach() for name, loss in losses.items()}

    def _generator_losses(self, batch: Batch) -> tuple[dict[str, Tensor], Tensor]:
        weights, network = self.config.losses, self.network
        source = network.detect(batch.source, batch.source_prior, batch.source_mesh)
        driving = network.detect(batch.driving, batch.driving_prior, batch.driving_mesh)
        still = network.encode(batch.source, source, batch.source_prior)
        out = network.render(still, driving, batch.driving_prior[:, :1], batch.mel)
        real, made = batch.driving, out.picture
        losses = {
            "l1": weights.l1 * pyramid_l1(made, real, batch.weight),
            "gradient": weights.gradient * gradient_l1(made, real, batch.weight),
            "structure": weights.structure * structure_loss(made, real),
        }
        if weights.warp:
            losses["warp"] = weights.warp * pyramid_l1(out.warped.float(), real, batch.weight)
        if weights.choice and out.shares is not None:
            losses["choice"] = weights.choice * choice_l1(out.layers, out.shares, real)
        if weights.equivariance_points or weights.equivariance_jacobians:
            # The step's number seeds the deformation, so that a resumed run draws the same ones.
            generator = torch.Generator().manual_seed(self.config.seed * 1_000_003 + self.steps_done)
            deformation = Deformation.random(real.shape[0], generator, self.device)
            grid = deformation.grid(real.shape[-1])
            prior = sample(batch.driving_prior, grid) if self.config.model.structural_prior else None
            deformed = network.detect(sample(real, grid), prior)
            points, frames = equivariance(driving, deformed, deformation)
            losses["equivariance_points"] = weights.equivariance_points * points
            losses["equivariance_jacobians"] = weights.equivariance_jacobians * frames
        if self.perceptual is not None:
            losses["perceptual"] = weights.perceptual * self.perceptual(made, real).mean()
        if self.discriminator is not None:
            judged = self.discriminator(made)
            losses["adversarial"] = weights.adversarial * generator_adversarial_loss(judged.float())
        return losses, made

    def _discriminator_step(self, real: Tensor, made: Tensor, share: float) -> Tensor:
        assert self.discriminator is not None
        for group in self.judge.param_groups:
            group["lr"] = share * self.config.learning_rate
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bf16"):
            logits = self.discriminator(torch.cat([real, made])).float()
        loss = discriminator_loss(*logits.chunk(2))
        self.judge.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.judge.step()
        return loss

    @torch.no_grad()
    def _average(self) -> None:
        # A short run must not be weighed down by its random start.
        decay = min(self.config.ema, (1 + self.steps_done) / (10 + self.steps_done))
        for slow, fast in zip(self.averaged.state_dict().values(), self.network.state_dict().values(), strict=True):
            if slow.dtype.is_floating_point:
                slow.lerp_(fast, 1 - decay)
            else:
                slow.copy_(fast)


def run(
    trainer: Trainer,
    pairs: Pairs,
    *,
    log: Callable[[StepLog], None],
    checkpoint: Callable[[], None],
) -> None:
    """Train until the configured number of steps, or until ``stop_after_s``; checkpoints go through the call-backs."""
    config = trainer.config
    started = saved = mark = time.monotonic()
    sums: dict[str, Tensor] = {}
    for batch in pairs.stream(trainer.steps_done, config.steps, config.batch):
        losses = trainer.step(batch)
        for name, loss in losses.items():
            sums[name] = sums[name] + loss if name in sums else loss
        if trainer.steps_done % config.log_every == 0:
            means = {name: float(value) / config.log_every for name, value in sums.items()}
            bad = [name for name, value in means.items() if not math.isfinite(value)]
            if bad:
                raise DivergedError(
                    f"loss {', '.join(bad)} is not finite by step {trainer.steps_done}; the last checkpoint is kept"
                )
            log(StepLog(trainer.steps_done, means, (time.monotonic() - mark) / config.log_every))
            sums, mark = {}, time.monotonic()
        if time.monotonic() - saved > config.checkpoint_every_s:
            checkpoint()
            saved = time.monotonic()
        if config.stop_after_s and time.monotonic() - started > config.stop_after_s:
            break
    checkpoint()
