"""Options that several verbs have, with the same words."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Annotated

import typer

from visavis.core.allocator import return_memory

if TYPE_CHECKING:
    from visavis.nn.engine import Engine


class Device(str, Enum):
    """Choices of --device."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class Precision(str, Enum):
    """Choices of --precision."""

    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"


class EngineName(str, Enum):
    """Choices of --engine."""

    auto = "auto"
    torch = "torch"
    openvino = "openvino"
    onnx = "onnx"


ModelOption = Annotated[str, typer.Option(help="Name or path of weights.")]
EngineOption = Annotated[
    EngineName,
    typer.Option(help="Who computes the networks; auto takes OpenVINO on x86 processors where it is installed."),
]
DeviceOption = Annotated[Device, typer.Option()]
PrecisionOption = Annotated[
    Precision, typer.Option(help="auto takes bf16 where the processor has it in hardware, else fp32.")
]
Threads = Annotated[
    int | None,
    typer.Option(min=1, help="Threads of the CPU; by default those this process may use, at most 8."),
]
Force = Annotated[bool, typer.Option("--force", help="Replace an existing output.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def engine_of(engine: EngineName, device: Device, precision: Precision, threads: int | None) -> Engine:
    """What four options ask for together."""
    from visavis.nn.engine import Engine

    return Engine(device.value, precision.value, threads, engine.value)


def lean_engine_of(engine: EngineName, device: Device, precision: Precision, threads: int | None) -> Engine:
    """The same for a process that then returns what memory it frees; torch would wait for it at every layer."""
    asked = engine_of(engine, device, precision, threads)
    if asked.chosen().name != "torch":
        return_memory()
    return asked
