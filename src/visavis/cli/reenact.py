"""``visavis reenact``."""

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
    ModelOption,
    Precision,
    PrecisionOption,
    Threads,
    lean_engine_of,
)
from visavis.weights.store import DEFAULT_MODEL


class Motion(str, Enum):
    """Choices of --motion."""

    relative = "relative"
    absolute = "absolute"


def reenact(
    source: Annotated[Path, typer.Argument(help="Picture, or video of which the frame fit best is taken.")],
    driving: Annotated[Path, typer.Argument(help="Video whose head motion and sound drive the source.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Video: .mp4, .mov, .mkv, .webm, .gif or .webp.")],
    model: ModelOption = DEFAULT_MODEL,
    audio: Annotated[Path | None, typer.Option(help="Sound in place of the driving video's, for the lips too.")] = None,
    motion: Annotated[
        Motion, typer.Option(help="relative: change since the nearest pose; absolute: as it is.")
    ] = Motion.relative,
    amount: Annotated[
        str,
        typer.Option(
            help="How much of the driver's movement counts: head=0.7,lips=1.2,eyes=..,brows=..,expression=..,"
            "blink=0; 1 is all of it."
        ),
    ] = "",
    edit: Annotated[
        str,
        typer.Option(
            help="Change every frame by hand: yaw=+10,pitch=..,roll=.. in degrees; mouth=0.5,smile=..,blink=.."
        ),
    ] = "",
    paste_back: Annotated[
        bool, typer.Option("--paste-back", help="Put the result into the full source frame.")
    ] = False,
    crop: Annotated[
        bool | None, typer.Option("--crop/--no-crop", help="Crop to the face; by default only where it is needed.")
    ] = None,
    source_face: Annotated[
        int | None, typer.Option(min=0, max=3, help="Which face of SOURCE, 0 for the largest (0 unless said).")
    ] = None,
    driver_face: Annotated[
        int | None, typer.Option(min=0, max=3, help="Which face of DRIVING, 0 for the largest (0 unless said).")
    ] = None,
    face: Annotated[int, typer.Option(min=0, max=3, help="Both of these, where they are not said.")] = 0,
    device: DeviceOption = Device.auto,
    precision: PrecisionOption = Precision.auto,
    threads: Threads = None,
    engine: EngineOption = EngineName.auto,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Animate the face of SOURCE by the video DRIVING and its sound."""
    from visavis.motion.amounts import Amounts, Edits
    from visavis.motion.kind import Mode
    from visavis.pipelines.files import ReenactOptions, reenact_file

    options = ReenactOptions(
        model=model,
        audio=audio,
        motion=Mode(motion.value),
        amounts=Amounts.parse(amount),
        edits=Edits.parse(edit),
        paste_back=paste_back,
        crop=crop,
        source_face=face if source_face is None else source_face,
        driver_face=face if driver_face is None else driver_face,
        engine=lean_engine_of(engine, device, precision, threads),
        force=force,
    )
    with progress_bar("reenact", "fps") as progress:
        report = reenact_file(source, driving, output, options, progress)
    if as_json:
        print_json(report.as_json())
    else:
        print(
            f"{output}: {report.frames} frames, {report.seconds:.2f} s, {report.width}x{report.height}, "
            f"{report.ms_per_frame['total']:.0f} ms a frame, {report.frames_without_face} without a face"
        )
