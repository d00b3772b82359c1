"""Run by ``torchrun`` in each of several processes: a few steps, then the first one writes gradients and weights.

``python processes.py TASK OUT``, where TASK is ``points`` (two small layers, without anything that depends on the rest
of a batch) or the folder of shards on which a tiny AVFR network learns with its judge.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from visavis.training.config import TrainConfig, from_values
from visavis.training.machine import Machine, open_machine, part_with_others
from visavis.training.task import Outcome, TensorBatch
from visavis.training.tasks.avfr import AvfrTask
from visavis.training.trainer import Trainer


@dataclass(frozen=True)
class Points(TensorBatch):
    """Inputs ``[B, 5]`` and outputs ``[B, 2]``."""

    inputs: Tensor
    outputs: Tensor


class PointsTask:
    """Learns two small layers from noisy points; batch ``n`` of ``count`` is points ``n * count`` and on."""

    judge = None

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.network: nn.Module = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 2))
        draw = torch.Generator().manual_seed(1)
        self._points = Points(torch.randn(64, 5, generator=draw), torch.randn(64, 2, generator=draw))

    def to(self, device: torch.device) -> None:
        self.network.to(device)

    def batch(self, number: int, count: int) -> Points:
        part = slice(number * count, (number + 1) * count)
        return Points(self._points.inputs[part], self._points.outputs[part])

    def losses(self, batch: Points, number: int) -> Outcome:
        return Outcome({"square": ((self.network(batch.inputs) - batch.outputs) ** 2).mean()})


def learn(kind: str, config: TrainConfig, machine: Machine) -> Mapping[str, Tensor]:
    """Take two steps on the points or one of the network; returns the last one's gradients and the weights after it.

    Adam's step hardly depends on the size of a gradient, so that roundings of a gradient near zero decide where its
    weight goes: after a step, a deep network's gradients are no longer comparable.
    """
    task = PointsTask() if kind == "points" else AvfrTask.start(config, Path(kind), {}, lambda line: None)
    trainer = Trainer(config, task, machine)  # type: ignore[arg-type]
    if task.judge is not None:
        # Else spectral norm refines its estimate whenever it is asked, and one process asks twice as often.
        task.judge.eval()
    for step in range(2 if kind == "points" else 1):
        trainer.step([task.batch(number, config.batch) for number in trainer.numbers(step)])
    networks = {"network": task.network, "judge": task.judge}
    found = {}
    for part, network in networks.items():
        for name, weight in network.named_parameters() if network is not None else ():
            assert weight.grad is not None, name
            found[f"{part}.{name}"], found[f"{part}.{name}.grad"] = weight.detach().clone(), weight.grad.clone()
    return found


def settings(batch: int, accumulate: int) -> TrainConfig:
    """Those of the tests; only how a step's samples are split differs."""
    values = {"batch": batch, "accumulate": accumulate, "stride": 1, "steps": 10, "losses": {"adversarial": 1.0}}
    return from_values({**values, "model": {"preset": "tiny"}})


if __name__ == "__main__":
    torch.set_num_threads(1)
    machine = open_machine("cpu")
    assert machine.world == 2
    found = learn(sys.argv[1], settings(batch=2, accumulate=1), machine)
    if machine.rank == 0:
        save_file({name: tensor.contiguous() for name, tensor in found.items()}, sys.argv[2])
    part_with_others()
