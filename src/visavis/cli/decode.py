"""``visavis decode``."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from visavis.cli.console import print_json, progress_bar
from visavis.cli.options import (
    Device,
    DeviceOption,
    EngineName,
    EngineOption,
    Force,
    Json,
    Precision,
    PrecisionOption,
    Threads,
    lean_engine_of,
)


class Size(str, Enum):
    """Choices of --size."""

    small = "256"
    large = "512"


class Between(str, Enum):
    """Choices of --between."""

    network = "network"
    motion = "motion"


class Enlarge(str, Enum):
    """Choices of --enlarge."""

    network = "network"
    bicubic = "bicubic"


def decode(
    call: Annotated[Path, typer.Argument(help="Call (.vsv).")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Video: .mp4, .mov, .mkv, .webm, .gif or .webp.")],
    model: Annotated[
        str | None, typer.Option(help="Weights, where the name in the call does not find them here.")
    ] = None,
    size: Annotated[Size | None, typer.Option(help="Side of the pictures; by default as they are made.")] = None,
    between: Annotated[
        Between, typer.Option(help="Who makes the frames that were not sent: a small network, or the generator.")
    ] = Between.network,
    enlarge: Annotated[
        Enlarge, typer.Option(help="What doubles pictures for --size: a small network, or plain interpolation.")
    ] = Enlarge.network,
    device: DeviceOption = Device.auto,
    precision: PrecisionOption = Precision.auto,
    threads: Threads = None,
    engine: EngineOption = EngineName.auto,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Decode a call into a video with its sound."""
    from visavis.pipelines.call.decode_file import decode_file

    with progress_bar("decode", "fps") as progress:
        report = decode_file(
            call,
            output,
            model=model,
            size=None if size is None else int(size.value),
            engine=lean_engine_of(engine, device, precision, threads),
            force=force,
            between=between.value,
            enlarge=enlarge.value,
            progress=progress,
        )
    if as_json:
        print_json(report.as_json())
        return
    print(
        f"{output}: {report.frames} frames, {report.seconds:.2f} s, {report.width}x{report.height}, "
        f"{report.ms_per_frame['total']:.0f} ms a frame, {report.concealed} concealed"
    )
