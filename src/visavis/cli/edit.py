"""``visavis edit``."""

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
    ModelOption,
    Precision,
    PrecisionOption,
    Threads,
    engine_of,
)
from visavis.weights.store import DEFAULT_MODEL


def edit(
    portrait: Annotated[Path, typer.Argument(help="Picture, or video of which the frame fit best is taken.")],
    output: Annotated[
        Path,
        typer.Option("-o", "--output", help="Picture: .png, .jpg or .webp; or video: .mp4, .mov, .mkv, .webm or .gif."),
    ],
    edit: Annotated[
        str,
        typer.Option(
            help="What to change: yaw=+15,pitch=-5,roll=.. in degrees; mouth=0.4,smile=..,blink=..; a range, as "
            "yaw=-45..45, makes a sheet of a picture, and a video goes there and back."
        ),
    ],
    model: ModelOption = DEFAULT_MODEL,
    steps: Annotated[int, typer.Option(min=2, max=25, help="Pictures in the sheet of a range.")] = 7,
    seconds: Annotated[float, typer.Option(min=0.2, max=60, help="Length of a video.")] = 4.0,
    paste_back: Annotated[bool, typer.Option("--paste-back", help="Put the result into the full picture.")] = False,
    crop: Annotated[
        bool | None, typer.Option("--crop/--no-crop", help="Crop to the face; by default only where it is needed.")
    ] = None,
    face: Annotated[int, typer.Option(min=0, max=3, help="Which face, 0 for the largest.")] = 0,
    device: DeviceOption = Device.auto,
    precision: PrecisionOption = Precision.auto,
    threads: Threads = None,
    engine: EngineOption = EngineName.auto,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Turn the head of PORTRAIT, open its mouth, let it smile or blink, by numbers alone."""
    from visavis.pipelines.edit import EditOptions, edit_file

    options = EditOptions(
        edit,
        model=model,
        steps=steps,
        seconds=seconds,
        paste_back=paste_back,
        crop=crop,
        face=face,
        engine=engine_of(engine, device, precision, threads),
        force=force,
    )
    with progress_bar("edit", "fps") as progress:
        report = edit_file(portrait, output, options, progress)
    if as_json:
        print_json(report.as_json())
        return
    length = "" if report.seconds is None else f", {report.seconds:.2f} s"
    pictures = "1 picture" if report.frames == 1 else f"{report.frames} pictures"
    ms = report.ms_per_frame["total"]
    print(f"{output}: {pictures}{length}, {report.width}x{report.height}, {ms:.0f} ms a picture")
    if report.turned != {name: value for name, value in report.edits.items() if name in report.turned}:
        told = ", ".join(f"{name} {_plain(value)}" for name, value in report.turned.items())
        print(f"the head turns as far as one picture can show: {told}")


def _plain(value: float | list[float]) -> str:
    return " to ".join(f"{end:.0f}" for end in (value if isinstance(value, list) else [value]))
