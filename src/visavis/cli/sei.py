"""``visavis sei``."""

from __future__ import annotations

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
    engine_of,
)
from visavis.core.printable import printable
from visavis.weights.store import DEFAULT_MODEL

app = typer.Typer(help="Motion of a face in SEI messages of H.264 and H.265.", no_args_is_help=True)


@app.command()
def write(
    video: Annotated[Path, typer.Argument(help="Video of a talking head, of H.264 or H.265.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Video to write: .mp4, .mov or .mkv.")],
    model: Annotated[str, typer.Option(help="Name or path of weights whose motion has keypoints.")] = DEFAULT_MODEL,
    face: Annotated[int, typer.Option(min=0, max=3, help="Which face, 0 for the largest.")] = 0,
    device: DeviceOption = Device.auto,
    precision: PrecisionOption = Precision.auto,
    threads: Threads = None,
    engine: EngineOption = EngineName.auto,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Copy VIDEO with the motion of its face in messages; its pictures and sound stay as they are."""
    from visavis.pipelines.sei.write_file import SeiOptions, write_sei

    options = SeiOptions(model, face, engine_of(engine, device, precision, threads), force)
    with progress_bar("sei", "fps") as progress:
        report = write_sei(video, output, options, progress)
    if as_json:
        print_json(report.as_json())
        return
    print(
        f"{output}: {report.pictures} pictures, {report.messages} messages of {report.keypoints} keypoints, "
        f"{report.base} of them base, {report.bytes} bytes, {report.kbps:.1f} kbit/s"
    )


@app.command()
def read(
    file: Annotated[Path, typer.Argument(help="Video of H.264 or H.265.")],
    as_json: Json = False,
) -> None:
    """Say what face messages a file holds."""
    from visavis.pipelines.sei.read_file import read_sei

    about = read_sei(file)
    if as_json:
        print_json(about)
        return
    for key, value in about.items():
        shown: object = value
        if isinstance(value, dict):
            shown = ", ".join(f"{name} {count}" for name, count in value.items())
        print(f"{key}: {len(value) if isinstance(value, list) else printable(shown)}")
