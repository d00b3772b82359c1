"""``visavis talk``."""

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
from visavis.weights.store import TALKING_MODEL


def talk(
    portrait: Annotated[Path, typer.Argument(help="Picture, or clip of which the frame fit best is taken.")],
    speech: Annotated[Path, typer.Argument(help="Any file with sound.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Video: .mp4, .mov, .mkv, .webm, .gif or .webp.")],
    reference: Annotated[
        Path | None,
        typer.Option(help="Clip whose first 3 s say how the head moves; by default PORTRAIT's own where it is one."),
    ] = None,
    head: Annotated[
        str, typer.Option(metavar="auto|none|VIDEO", help="auto: by the speech; none: at rest; or a video's.")
    ] = "auto",
    expression: Annotated[
        str, typer.Option(metavar="speech|VIDEO", help="Whose face moves: the speech's, or a video's, mouth and all.")
    ] = "speech",
    amount: Annotated[
        str,
        typer.Option(help="How much of the movement counts: head=0.7,lips=1.2,blink=1,eyes=..,brows=..; 1 is all."),
    ] = "",
    seed: Annotated[int, typer.Option(min=0, help="Of blinks, gaze, and the head where no clip tells how.")] = 0,
    model: ModelOption = TALKING_MODEL,
    paste_back: Annotated[bool, typer.Option("--paste-back", help="Put the result into the full picture.")] = False,
    crop: Annotated[
        bool | None, typer.Option("--crop/--no-crop", help="Crop to the face; by default only where it is needed.")
    ] = None,
    face: Annotated[int, typer.Option(min=0, max=3, help="Which face of PORTRAIT, 0 for the largest.")] = 0,
    engine: EngineOption = EngineName.auto,
    device: DeviceOption = Device.auto,
    precision: PrecisionOption = Precision.auto,
    threads: Threads = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Let the person of PORTRAIT say what is said in SPEECH, with lips, head, eyes and blinks."""
    from visavis.motion.amounts import Amounts
    from visavis.pipelines.talk import TalkOptions, talk_file

    options = TalkOptions(
        model=model,
        reference=reference,
        head=None if head in ("auto", "none") else Path(head),
        still=head == "none",
        expression=None if expression.lower() == "speech" else Path(expression),
        amounts=Amounts.parse(amount),
        seed=seed,
        paste_back=paste_back,
        crop=crop,
        face=face,
        engine=engine_of(engine, device, precision, threads),
        force=force,
    )
    with progress_bar("talk", "fps") as progress:
        report = talk_file(portrait, speech, output, options, progress)
    if as_json:
        print_json(report.as_json())
    else:
        print(
            f"{output}: {report.frames} frames, {report.seconds:.2f} s, {report.width}x{report.height}, "
            f"{report.ms_per_frame['total']:.0f} ms a frame, {report.frames_of_speech} with sound"
        )
