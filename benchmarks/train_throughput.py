"""Samples a second of our training step beside the same step written plainly, in one run.

    python benchmarks/train_throughput.py [RECIPE] [--device cuda] [--batch 32] [--steps 20] [--set key=value ...]

Both learn from the same made-up clips (no data is needed) by the same losses. The plain step is fp32 in torch's usual
memory layout, makes each batch when it is wanted, and averages weights one by one. Ours is the recipe's precision,
channels last, batches made ahead by threads, and fused updates. They take turns, and the best round of each counts,
since a busy machine only ever makes a round slower. On a GPU it also says which share of the card's bf16 rate our step
reaches, against a matrix product measured in the same run. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import visavis.training
from visavis.face.types import MESH_POINTS
from visavis.training.config import TrainConfig, read_config
from visavis.training.data.dataset import Clip, Pairs, learn_face_model
from visavis.training.loop import batches
from visavis.training.losses import discriminator_loss
from visavis.training.machine import open_machine
from visavis.training.task import Task, TensorBatch
from visavis.training.tasks.registry import task_class
from visavis.training.trainer import Trainer

RECIPE = Path(visavis.training.__file__).parent / "recipes/avfr-256-cpu.toml"
CLIPS, FRAMES = 4, 20
MATRIX = 8192
WARM_UP = 3


def made_clips(size: int) -> list[Clip]:
    """Noise with a sphere for a face: what a step costs does not depend on what is in the pictures."""
    rng = np.random.default_rng(0)
    sphere = rng.standard_normal((MESH_POINTS, 3))
    sphere *= 0.6 / np.linalg.norm(sphere, axis=1, keepdims=True)
    return [
        Clip(
            str(number),
            rng.integers(0, 256, (FRAMES, size, size, 3), dtype=np.uint8),
            (sphere + 0.02 * rng.standard_normal((FRAMES, MESH_POINTS, 3))).astype(np.float32),
            rng.integers(0, 256, (FRAMES, 64, 64), dtype=np.uint8),
            rng.random((FRAMES, 80, 20), dtype=np.float32),
        )
        for number in range(CLIPS)
    ]


def start(config: TrainConfig) -> Any:
    """The recipe's task on made-up clips."""
    clips = made_clips(config.model.size)
    face_model = learn_face_model(clips, getattr(config.model, "mesh_coefficients", 40))
    return task_class(config.task)(config, Pairs(clips, face_model, size=config.model.size))  # type: ignore[call-arg]


class PlainTrainer:
    """The same method in the fewest words, as a first draft would have it."""

    def __init__(self, config: TrainConfig, task: Task, device: torch.device) -> None:
        self.task, self.device = task, device
        task.to(device)
        for network in filter(None, (task.network, task.judge)):
            network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        self.averaged = deepcopy(task.network)
        self.optimiser = self._adam(task.network, config)
        self.judge_optimiser = self._adam(task.judge, config) if task.judge is not None else None
        self.ema = config.ema

    def _adam(self, network: nn.Module, config: TrainConfig) -> torch.optim.Adam:
        return torch.optim.Adam(network.parameters(), config.learning_rate, betas=(0.5, 0.999), foreach=False)

    def step(self, batch: TensorBatch, number: int) -> dict[str, Tensor]:
        """One step in fp32."""
        outcome = self.task.losses(batch.to(self.device), number)
        loss = torch.stack(list(outcome.losses.values())).sum()
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.task.network.parameters(), 5.0, foreach=False)
        self.optimiser.step()
        if self.task.judge is not None and self.judge_optimiser is not None:
            seen = [torch.cat([real, made.detach()]) for real, made in zip(outcome.real, outcome.made, strict=True)]
            logits = self.task.judge(*seen)
            self.judge_optimiser.zero_grad()
            losses = [
                discriminator_loss(*part.chunk(2)) for part in (logits if isinstance(logits, tuple) else (logits,))
            ]
            torch.stack(losses).sum().backward()  # type: ignore[no-untyped-call]
            self.judge_optimiser.step()
        with torch.no_grad():
            states = zip(self.averaged.state_dict().values(), self.task.network.state_dict().values(), strict=True)
            for slow, fast in states:
                slow.copy_(self.ema * slow + (1 - self.ema) * fast)
        return dict(outcome.losses)


def plain_steps(trainer: PlainTrainer, size: int) -> Iterator[object]:
    """Endless steps, each with a batch made on the spot."""
    for number in count():
        yield trainer.step(trainer.task.batch(number, size), number)


def our_steps(trainer: Trainer, size: int, threads: int) -> Iterator[object]:
    """Endless steps of the loop's own kind."""
    for batch in batches(trainer.task, count(), size, threads):
        yield trainer.step([batch])


def seconds_a_step(steps: Iterator[object], number: int, wait: Callable[[], None]) -> float:
    wait()
    began = time.perf_counter()
    for _ in range(number):
        next(steps)
    wait()
    return (time.perf_counter() - began) / number


def flop_a_sample(config: TrainConfig, task: Task) -> float:
    """Floating point operations of a sample's forward and backward pass, as torch counts them."""
    trainer = PlainTrainer(config, task, torch.device("cpu"))
    with FlopCounterMode(display=False) as counter:
        trainer.step(task.batch(0, 1), 0)
    return float(counter.get_total_flops())


def bf16_rate(wait: Callable[[], None]) -> float:
    """Operations a second of a large bf16 matrix product on the GPU."""
    a, b = (torch.randn(MATRIX, MATRIX, device="cuda", dtype=torch.bfloat16) for _ in range(2))

    def product() -> Iterator[object]:
        while True:
            yield a @ b

    steps = product()
    seconds_a_step(steps, WARM_UP, wait)
    return 2 * MATRIX**3 / seconds_a_step(steps, 20, wait)


def measure(config: TrainConfig, device: str, steps: int, rounds: int) -> dict[str, Any]:
    """Let both take turns and report."""
    machine = open_machine(device, config.precision)
    wait = torch.cuda.synchronize if machine.device.type == "cuda" else lambda: None
    flop = flop_a_sample(config, start(config))
    kinds = {
        "plain": plain_steps(PlainTrainer(config, start(config), machine.device), config.batch),
        "ours": our_steps(Trainer(config, start(config), machine), config.batch, config.threads),
    }
    for kind in kinds.values():
        seconds_a_step(kind, WARM_UP, wait)
    best = dict.fromkeys(kinds, float("inf"))
    for _ in range(rounds):
        for name, kind in kinds.items():
            best[name] = min(best[name], seconds_a_step(kind, steps, wait))
    rates = {name: config.batch / seconds for name, seconds in best.items()}
    report = {
        "device": torch.cuda.get_device_name() if machine.device.type == "cuda" else "cpu",
        "task": config.task,
        "size": config.model.size,
        "batch": config.batch,
        "precision": config.precision,
        "compiled": config.compile,
        "gflop_per_sample": round(flop / 1e9, 2),
        "samples_per_s": {name: round(rate, 2) for name, rate in rates.items()},
        "speed_up": round(rates["ours"] / rates["plain"], 2),
        "gflop_per_s": round(rates["ours"] * flop / 1e9, 1),
    }
    if machine.device.type == "cuda":
        peak = bf16_rate(wait)
        report |= {"bf16_tflop_per_s": round(peak / 1e12, 1), "share_of_bf16": round(rates["ours"] * flop / peak, 4)}
        report["peak_memory_gib"] = round(torch.cuda.max_memory_allocated() / 2**30, 2)
    return report


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("recipe", nargs="?", type=Path, default=RECIPE)
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--batch", type=int)
    parser.add_argument("--steps", type=int, default=5, help="steps a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--set", action="append", default=[], help="key=value in place of the recipe's")
    options = parser.parse_args()
    config = read_config(options.recipe, options.set)
    if options.batch is not None:
        config = replace(config, batch=options.batch)
    print(json.dumps(measure(config, options.device, options.steps, options.rounds)))


if __name__ == "__main__":
    main()
