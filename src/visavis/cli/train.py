"""``visavis train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def train(
    config: Annotated[Path, typer.Argument(help="TOML file with the run's settings.")],
    data: Annotated[Path, typer.Option(help="Folder of shards from `visavis prepare`.")],
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="key=value, in place of the file's; may be repeated.")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Optimiser steps in all.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the run's last checkpoint.")] = False,
    out: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("runs/latest"),
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Train a network on shards."""
    from visavis.training.run import train as run

    run(config, data, settings or [], steps=steps, resume=resume, out=out, device=device, say=print)
