"""``visavis train``."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from visavis.cli.console import print_json


def train(
    config: Annotated[Path, typer.Argument(help="TOML file with the run's settings.")],
    data: Annotated[Path, typer.Option(help="Folder of shards from `visavis prepare`.")],
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="key=value, in place of the file's; may be repeated.")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Optimiser steps in all.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the run's last checkpoint, if any.")] = False,
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder of the run.")] = Path("runs/latest"),
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    devices: Annotated[int, typer.Option(min=1, help="How many devices; needs Lightning Fabric for several.")] = 1,
    perceptual: Annotated[
        str | None,
        typer.Option(
            help="lpips, vgg19, efficientnet-lite0, face-128, a file of weights, or none; default: the first at hand."
        ),
    ] = None,
    start_from: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|PATH", help="Weights to begin with, of the same family and shape; default: new ones."
        ),
    ] = None,
    stop_after: Annotated[
        float | None,
        typer.Option("--stop-after", min=0, help="Stop with a checkpoint after so many seconds, loading included."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object at the end.")] = False,
) -> None:
    """Train a network on shards."""
    from visavis.training.run import train as run

    changes = list(settings or [])
    if perceptual is not None:
        changes.append(f"perceptual={perceptual}")
    if start_from is not None:
        changes.append(f"start_from={start_from}")
    if stop_after is not None:
        changes.append(f"stop_after_s={stop_after}")
    report = run(
        config,
        data,
        changes,
        steps=steps,
        resume=resume,
        out=out,
        device=device,
        devices=devices,
        say=partial(print, file=sys.stderr if as_json else sys.stdout, flush=True),
    )
    if report is None:
        return
    if as_json:
        print_json(report.as_json())
    else:
        print(f"{report.weights}: {report.steps} steps, {report.samples_per_s:.2f} samples/s on {report.device}")
