"""Where and how networks compute: engine, device, precision and threads, as one value from option to network."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING

from visavis.core.errors import ConfigError
from visavis.core.processor import cores, has_bf16, has_gpu, useful_threads

if TYPE_CHECKING:
    import torch

PRECISIONS = ("auto", "fp32", "bf16")
#: Names of engines, the module each needs, and the extra that brings it.
ENGINES = {"torch": ("torch", "torch"), "openvino": ("openvino", "fast"), "onnx": ("onnxruntime", "onnx")}
#: What ``auto`` takes, where this variable is set.
PREFERRED = "VISAVIS_ENGINE"
#: Each stream takes memory of its own.
MOST_STREAMS = 4
_BRINGS = "pip install 'visavis[{}]'"
_X86 = ("x86_64", "amd64", "i386", "i686")


@dataclass(frozen=True, slots=True)
class Engine:
    """Where and how to compute.

    Attributes:
        device: auto, cpu or cuda.
        precision: auto, fp32, or bf16 for all that may lose digits.
        threads: of the CPU; None for what this process may use, at most 8.
        streams: how many frames may be computed at the same time, which share the threads; 0 for as many as pay.
            Torch computes one.
        name: who computes the graphs of a network: auto, torch, openvino or onnx (:mod:`visavis.runtime`). Whatever is
            no graph is torch's, and in float32 where the graphs are not.
    """

    device: str = "auto"
    precision: str = "auto"
    threads: int | None = None
    name: str = "auto"
    streams: int = 1

    def chosen(self) -> Engine:
        """The same with nothing left to choose.

        Raises:
            ConfigError: a device or an engine that is not there, a precision that it does not have, or no thread.
        """
        elsewhere = self.device == "auto" and self.name not in ("auto", "torch")
        device = "cpu" if elsewhere else choose_device(self.device)
        name = choose_engine(self.name, device)
        precision = choose_precision(self.precision, device, name)
        threads = choose_threads(self.threads)
        streams = 1 if name == "torch" else self.streams or min(threads, MOST_STREAMS)
        return Engine(device, precision, threads, name, streams)

    def for_throughput(self) -> Engine:
        """The same for a file, where what counts is how many frames there are a second and not how soon each is."""
        return replace(self, streams=0)

    def of_streams(self, streams: int) -> Engine:
        """The same for so many of its streams, with their share of the threads."""
        return replace(self, streams=streams, threads=streams * max(1, (self.threads or 1) // self.streams))

    @property
    def of_one_stream(self) -> Engine:
        """The same for one of its streams."""
        return self.of_streams(1)

    @property
    def reduced(self) -> bool:
        """Whether torch itself computes in reduced precision."""
        return self.precision == "bf16" and self.name in ("auto", "torch")

    def autocast(self) -> torch.autocast:
        """Torch's reduced precision in here, if that is the engine's."""
        import torch

        kind = torch.device(self.device).type
        return torch.autocast(kind, torch.bfloat16, enabled=self.reduced)

    @contextmanager
    def computing(self) -> Iterator[None]:
        """No gradients in torch, this engine's threads and no denormals in here; all is put back afterwards."""
        import torch

        from visavis.nn.denormals import denormals_flushed

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
PLAIN = Engine("cpu", "fp32", name="torch")


def choose_device(device: str) -> str:
    """Turn ``auto`` into ``cuda`` or ``cpu``; refuse what is not there."""
    if device == "cpu" or (device == "auto" and not _has_cuda()):
        return "cpu"
    if not _has_cuda():
        raise ConfigError("--device cuda: no CUDA device is available to this torch; use cpu or auto")
    return "cuda"


def _has_cuda() -> bool:
    """Whether torch computes on a GPU; it is not imported where there is none."""
    if not has_gpu() or not installed("torch"):
        return False
    import torch

    return torch.cuda.is_available()


def choose_engine(name: str, device: str) -> str:
    """Turn ``auto`` into OpenVINO on x86 processors where it is installed, else torch; refuse what is not there.

    Where there is no torch, it is whichever of the others is installed.

    The environment's ``VISAVIS_ENGINE`` says what ``auto`` is.
    """
    if name == "auto":
        asked = os.environ.get(PREFERRED, "auto")
        if asked != "auto" and device == "cpu":
            return choose_engine(asked, device)
        fast = device == "cpu" and platform.machine().lower() in _X86 and installed("openvino")
        there = [name for name in (*(("openvino",) if fast else ()), *ENGINES) if installed(name)]
        if not there:
            raise ConfigError(f"no engine is installed; {_BRINGS.format('fast')} brings OpenVINO")
        return there[0]
    if name not in ENGINES:
        raise ConfigError(f"--engine {name}: choose auto, {', '.join(ENGINES)}")
    if not installed(name):
        raise ConfigError(f"--engine {name}: it is not installed; {_BRINGS.format(ENGINES[name][1])} brings it")
    if device != "cpu" and name != "torch":
        raise ConfigError(f"--engine {name}: it computes on the CPU alone; use torch with --device {device}")
    return name


def installed(name: str) -> bool:
    """Whether an engine's package is there."""
    return find_spec(ENGINES[name][0]) is not None


def choose_precision(precision: str, device: str, name: str = "torch") -> str:
    """Turn ``auto`` into the precision that suits device and engine: bf16 where its arithmetic is in hardware."""
    if precision not in PRECISIONS:
        raise ConfigError(f"--precision {precision}: choose {', '.join(PRECISIONS[:-1])} or {PRECISIONS[-1]}")
    if precision == "bf16" and name == "onnx":
        raise ConfigError("--precision bf16: ONNX Runtime has no bf16 on CPUs; choose fp32, or another --engine")
    if precision == "auto":
        return "bf16" if name != "onnx" and (device == "cuda" or has_bf16()) else "fp32"
    return precision


def choose_threads(threads: int | None) -> int:
    """How many threads to compute with: as told, or this process's own number lowered to what it may use."""
    if threads is not None and threads < 1:
        raise ConfigError(f"--threads {threads}: choose 1 or more")
    if threads is not None:
        return threads
    own = _own_threads()
    return own if "OMP_NUM_THREADS" in os.environ else min(own, useful_threads())


def _own_threads() -> int:
    """Torch's number where it is loaded, which somebody may have set; else what it would be."""
    if (torch := sys.modules.get("torch")) is not None:
        return int(torch.get_num_threads())
    told = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    return int(told) if told.isdecimal() and int(told) else cores()
