"""``visavis evaluate``."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from visavis.cli.console import print_json, progress_bar


class Protocol(str, Enum):
    """Choices of --protocol."""

    same = "same"
    cross = "cross"


def evaluate(
    data: Annotated[Path, typer.Option(help="Folder with clips/*.mp4 and manifest.csv.")],
    split: Annotated[str, typer.Option(help="Which split.")] = "val",
    model: Annotated[list[str] | None, typer.Option(help="Weights, copy or mesh-warp; may be repeated.")] = None,
    protocol: Annotated[Protocol, typer.Option(help="same identity or cross identity.")] = Protocol.same,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many clips.")] = None,
    every: Annotated[int, typer.Option(min=1, help="Measure every so many frames.")] = 5,
    sheets: Annotated[Path | None, typer.Option(help="Folder for contact sheets.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure models against ground truth on a data set."""
    from visavis.evaluation.suite import evaluate as run

    models = model or ["copy", "mesh-warp", "avfr-256"]
    with progress_bar("evaluate", "clips/s") as progress:
        report = run(
            data,
            split,
            models,
            protocol=protocol.value,
            limit=limit,
            every=every,
            device=device,
            progress=progress,
            sheet=sheets,
        )
    if as_json:
        print_json(report)
        return
    names = ("l1", "psnr", "ssim", "lmd", "lmd_mouth")
    print("| model | " + " | ".join(names) + " |\n|---" * 1 + "|---" * len(names) + "|")
    for row in report["rows"]:
        print(f"| {row['model']} | " + " | ".join("-" if row[n] is None else f"{row[n]:.4g}" for n in names) + " |")
