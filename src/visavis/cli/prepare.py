"""``visavis prepare``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from visavis.cli.console import print_json, progress_bar


def prepare(
    dataset: Annotated[Path, typer.Argument(help="Folder with clips/*.mp4 and manifest.csv, or a folder of videos.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of shards to write.")],
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
    force: Annotated[bool, typer.Option("--force", help="Replace existing shards.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Turn clips into shards: tracked faces with their priors, ready for training."""
    from visavis.training.data.prepare import prepare as run

    with progress_bar("prepare", "clips/s") as progress:
        report = run(dataset, output, workers=workers, force=force, progress=progress)
    if as_json:
        print_json(report.as_json())
    else:
        print(f"{output}: {report.clips} clips, {report.frames} frames, {report.shards} shards, {report.seconds:.0f} s")
        for name, why in report.failed.items():
            print(f"skipped {name}: {why}")
