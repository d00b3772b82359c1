"""``visavis dub``."""

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


def dub(
    video: Annotated[Path, typer.Argument(help="Video of a talking head.")],
    speech: Annotated[Path, typer.Argument(help="Any file with sound.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Video: .mp4, .mov, .mkv, .webm, .gif or .webp.")],
    model: ModelOption = DEFAULT_MODEL,
    face: Annotated[int, typer.Option(min=0, max=3, help="Whose mouth, 0 for the largest face.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Of what sound does not tell.")] = 0,
    engine: EngineOption = EngineName.auto,
    device: DeviceOption = Device.auto,
    precision: PrecisionOption = Precision.auto,
    threads: Threads = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Let the person in VIDEO say what is said in SPEECH: lips and jaw in full frames, all else as it was.

    The result is as long as VIDEO: longer speech is cut, after shorter speech the mouth rests. Frames without a face
    stay as they are.
    """
    from visavis.pipelines.dub import DubOptions, dub_file

    options = DubOptions(model, face, seed, engine_of(engine, device, precision, threads), force)
    with progress_bar("dub", "fps") as progress:
        report = dub_file(video, speech, output, options, progress)
    if as_json:
        print_json(report.as_json())
    else:
        print(
            f"{output}: {report.frames} frames, {report.seconds:.2f} s, {report.width}x{report.height}, "
            f"{report.ms_per_frame['total']:.0f} ms a frame, {report.frames_without_face} without a face, "
            f"{report.frames_of_speech} up to the end of the speech"
        )
