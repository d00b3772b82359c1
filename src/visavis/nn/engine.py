"""Where and how networks compute: device, precision and threads, as one value that travels from option to network."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from visavis.core.errors import ConfigError
from visavis.core.processor import has_bf16, useful_threads
from visavis.nn.denormals import denormals_flushed

PRECISIONS = ("auto", "fp32", "bf16")


@dataclass(frozen=True, slots=True)
class Engine:
    """Where and how to compute.

    Attributes:
        device: auto, cpu or cuda.
        precision: auto, fp32, or bf16 for all that may lose digits.
        threads: of the CPU; None for what this process may use, at most 8.
    """

    device: str = "auto"
    precision: str = "auto"
    threads: int | None = None

    def chosen(self) -> Engine:
        """The same with nothing left to choose.

        Raises:
            ConfigError: a device that is not there, an unknown precision, or no thread.
        """
        device = choose_device(self.device)
        return Engine(device, choose_precision(self.precision, device), choose_threads(self.threads))

    def autocast(self) -> torch.autocast:
        """Reduced precision in here, if that is the engine's."""
        kind = torch.device(self.device).type
        return torch.autocast(kind, torch.bfloat16, enabled=self.precision == "bf16")

    @contextmanager
    def computing(self) -> Iterator[None]:
        """No gradients, this engine's threads and no denormals in here; all is put back afterwards."""
        before = torch.get_num_threads()
        changed = self.threads is not None and self.threads != before
        if changed:
            torch.set_num_threads(self.threads or before)
        try:
            with torch.inference_mode(), denormals_flushed():
                yield
        finally:
            if changed:
                torch.set_num_threads(before)


#: Exact, on the CPU, with the threads that are set.
PLAIN = Engine("cpu", "fp32")


def choose_device(device: str) -> str:
    """Turn ``auto`` into ``cuda`` or ``cpu``; refuse what is not there."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("--device cuda: no CUDA device is available to this torch; use cpu or auto")
    return device


def choose_precision(precision: str, device: str) -> str:
    """Turn ``auto`` into the precision that suits the device: bf16 where its arithmetic is in hardware."""
    if precision not in PRECISIONS:
        raise ConfigError(f"--precision {precision}: choose {', '.join(PRECISIONS[:-1])} or {PRECISIONS[-1]}")
    if precision == "auto":
        return "bf16" if device == "cuda" or has_bf16() else "fp32"
    return precision


def choose_threads(threads: int | None) -> int:
    """How many threads to compute with: as told, or torch's own number lowered to what this process may use."""
    if threads is not None and threads < 1:
        raise ConfigError(f"--threads {threads}: choose 1 or more")
    if threads is not None:
        return threads
    own = torch.get_num_threads()
    return own if "OMP_NUM_THREADS" in os.environ else min(own, useful_threads())
