"""``visavis encode``."""

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
from visavis.weights.store import DEFAULT_MODEL


class Mode(str, Enum):
    """Choices of --mode."""

    adaptive = "adaptive"
    paper80 = "paper80"


def encode(
    video: Annotated[Path, typer.Argument(help="Video of a talking head.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Call to write (.vsv).")],
    model: Annotated[str, typer.Option(help="Name or path of weights; the receiver needs the same.")] = DEFAULT_MODEL,
    mode: Annotated[
        Mode, typer.Option(help="adaptive: coded motion; paper80: keypoints as floats, 80 bytes a frame.")
    ] = Mode.adaptive,
    kbps: Annotated[float | None, typer.Option(help="Rate of the pictures to keep to; sound is beside it.")] = None,
    interpolate: Annotated[int, typer.Option(help="Frames between two that are sent, 0 to 4.")] = 0,
    audio: Annotated[bool, typer.Option("--audio/--no-audio", help="Send the sound.")] = True,
    audio_kbps: Annotated[int, typer.Option(help="Rate of the sound, 6 to 24.")] = 12,
    face: Annotated[int, typer.Option(min=0, max=3, help="Which face, 0 for the largest.")] = 0,
    device: DeviceOption = Device.auto,
    precision: PrecisionOption = Precision.auto,
    threads: Threads = None,
    engine: EngineOption = EngineName.auto,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Encode VIDEO as a call: pivots and motion instead of pictures."""
    from visavis.pipelines.call.encode_file import EncodeOptions, encode_file
    from visavis.pipelines.call.settings import CallSettings

    settings = CallSettings(mode=mode.value, kbps=kbps, interpolate=interpolate, sound_kbps=audio_kbps)
    options = EncodeOptions(
        model=model,
        settings=settings,
        audio=audio,
        face=face,
        engine=lean_engine_of(engine, device, precision, threads),
        force=force,
    )
    with progress_bar("encode", "fps") as progress:
        report = encode_file(video, output, options, progress)
    if as_json:
        print_json(report.as_json())
        return
    pivots = "1 pivot" if report.pivots == 1 else f"{report.pivots} pivots"
    print(
        f"{output}: {report.frames} frames, {report.seconds:.2f} s, {report.bytes['total']} bytes, "
        f"{pivots}, pictures {report.video_kbps:.2f} kbit/s, sound {report.audio_kbps:.2f} kbit/s"
    )
    if report.note is not None:
        print(f"note: {report.note}")
