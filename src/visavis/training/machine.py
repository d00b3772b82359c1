"""Where a run computes: one device or several, in fp32 or bf16.

Lightning Fabric is the way to devices when it is installed (``pip install visavis[train]``); without it, plain torch
runs on one device and ends at the same weights. The loop sees the same few members either way.
"""

from __future__ import annotations

import logging
import os
from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from visavis.core.errors import ConfigError
from visavis.nn.engine import choose_device


class Machine(Protocol):
    """What the loop asks of the place where it computes.

    Attributes:
        device: of this process.
        rank, world: number of this process, and how many there are; process 0 writes and speaks.
    """

    device: torch.device
    rank: int
    world: int

    def setup(self, module: nn.Module) -> nn.Module:
        """Return the module to call forward through, so that gradients are averaged over all processes."""

    def autocast(self) -> AbstractContextManager[Any]:
        """In it, operations run in the run's precision."""

    def backward(self, loss: Tensor) -> None:
        """Compute gradients."""

    def alone(self, module: nn.Module, *, on: bool) -> AbstractContextManager[Any]:
        """While on, gradients of ``module`` stay in this process, to be averaged with later ones."""

    def agree(self, value: bool) -> bool:
        """What process 0 says."""


class OneDevice:
    """Plain torch on one device.

    Args:
        device: cpu or cuda.
        precision: ``fp32`` or ``bf16``.
    """

    rank = 0
    world = 1

    def __init__(self, device: str = "cpu", precision: str = "fp32") -> None:
        self.device = torch.device(device)
        self._half = precision == "bf16"

    def setup(self, module: nn.Module) -> nn.Module:
        """The module itself."""
        return module

    def autocast(self) -> AbstractContextManager[Any]:
        """bf16 where it is exact enough, if asked for."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self._half)

    def backward(self, loss: Tensor) -> None:
        """Compute gradients."""
        loss.backward()  # type: ignore[no-untyped-call]

    def alone(self, module: nn.Module, *, on: bool) -> AbstractContextManager[Any]:
        """There is no other process."""
        return nullcontext()

    def agree(self, value: bool) -> bool:
        """There is no other opinion."""
        return value


class FabricDevices:
    """One or several devices through Lightning Fabric; several average their gradients (DistributedDataParallel).

    Batch statistics of BatchNorm are each process's own, as is usual; running averages are those of process 0.

    Args:
        device: cpu or cuda.
        precision: ``fp32`` or ``bf16``.
        devices: how many; under ``torchrun`` its own count holds.
    """

    def __init__(self, device: str = "cpu", precision: str = "fp32", devices: int = 1) -> None:
        from lightning_fabric import Fabric

        logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
        logging.getLogger("lightning.fabric").setLevel(logging.WARNING)
        devices = int(os.environ.get("LOCAL_WORLD_SIZE", devices))
        nodes = int(os.environ.get("WORLD_SIZE", devices)) // devices if "LOCAL_WORLD_SIZE" in os.environ else 1
        self._fabric = Fabric(
            accelerator=device,
            devices=devices,
            num_nodes=nodes,
            strategy="ddp" if devices * nodes > 1 else "auto",
            # Fabric's own bf16 would round the inputs too, pixels and mesh points; autocast leaves them be.
            precision="32-true",
        )
        self._fabric.launch()
        self._half = precision == "bf16"
        self.device = self._fabric.device
        self.rank, self.world = self._fabric.global_rank, self._fabric.world_size

    def setup(self, module: nn.Module) -> nn.Module:
        """Wrap for the strategy."""
        wrapped: nn.Module = self._fabric.setup_module(module, move_to_device=False)
        return wrapped

    def autocast(self) -> AbstractContextManager[Any]:
        """bf16 where it is exact enough, if asked for."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self._half)

    def backward(self, loss: Tensor) -> None:
        """Compute gradients, averaged over all processes."""
        self._fabric.backward(loss)

    def alone(self, module: nn.Module, *, on: bool) -> AbstractContextManager[Any]:
        """While on, gradients are not averaged yet."""
        if self.world == 1:
            return nullcontext()
        context: AbstractContextManager[Any] = self._fabric.no_backward_sync(module, enabled=on)  # type: ignore[arg-type]
        return context

    def agree(self, value: bool) -> bool:
        """Process 0's value, sent to all."""
        return bool(self._fabric.broadcast(value)) if self.world > 1 else value


def open_machine(
    device: str = "auto", precision: str = "fp32", devices: int = 1, *, search_kernels: bool = False
) -> Machine:
    """Choose the machine: Fabric where it is installed, else plain torch on one device.

    Args:
        device: auto, cpu or cuda.
        precision: ``fp32`` or ``bf16``.
        devices: how many.
        search_kernels: let cuDNN time its kernels first. Shapes stay the same from step to step, so that it pays in the
            long run; on a machine lent for minutes it does not.

    Raises:
        ConfigError: a device that is not there, or several devices without Fabric.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"--device {device}: choose auto, cpu or cuda")
    chosen = choose_device(device)
    torch.backends.cudnn.benchmark = search_kernels and chosen == "cuda"
    if find_spec("lightning_fabric") is not None:
        return FabricDevices(chosen, precision, devices)
    if devices > 1 or int(os.environ.get("WORLD_SIZE", 1)) > 1:
        raise ConfigError("several devices need Lightning Fabric: pip install 'visavis[train]'")
    return OneDevice(chosen, precision)


def part_with_others() -> None:
    """End the exchange with other processes, where there are any: left to the interpreter's end, gloo may abort it."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
