"""``visavis rate``."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from visavis.cli.console import print_json, progress_bar
from visavis.cli.options import Json

_DEFAULT = ["visavis", "paper80", "x264", "x265", "svtav1", "vvenc"]


class Size(str, Enum):
    """Choices of --size."""

    small = "256"
    large = "512"


def rate(
    data: Annotated[
        Path, typer.Option(help="Folder with clips/*.mp4 and manifest.csv; clips512/*.mp4 for --size 512.")
    ],
    split: Annotated[str, typer.Option(help="Which split.")] = "val",
    codec: Annotated[
        list[str] | None,
        typer.Option(
            help="visavis, paper80, x264, x265, svtav1, svtav1-half or vvenc; visavis-between, visavis-pivots and"
            " visavis-patches for what its parts bring; several may follow."
        ),
    ] = None,
    more: Annotated[list[str] | None, typer.Argument(metavar="[CODEC]...", hidden=True)] = None,
    size: Annotated[Size, typer.Option(help="Side of the clips.")] = Size.small,
    limit: Annotated[int, typer.Option(min=1, help="At most so many clips, one an identity.")] = 8,
    longer_than: Annotated[float, typer.Option(min=0, help="Only clips of more than so many seconds.")] = 4,
    every: Annotated[int, typer.Option(min=1, help="Measure every so many frames; all are coded.")] = 5,
    workers: Annotated[int, typer.Option(min=1, help="Processes, one thread each.")] = 1,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Folder for rate.json, rate.md, rate.png and a cache.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace existing results; the cache is used again.")] = False,
    as_json: Json = False,
) -> None:
    """Compare codecs: bits against what is left of the pictures."""
    from fractions import Fraction

    from visavis.evaluation.rate import compare
    from visavis.evaluation.rate_report import markdown, open_folder, write_folder

    if out is not None:
        open_folder(out, force=force)
    with progress_bar("rate", "clips/s") as progress:
        report = compare(
            data,
            split,
            [*(codec or []), *(more or [])] or _DEFAULT,
            size=int(size.value),
            limit=limit,
            every=every,
            longer_than=Fraction(longer_than),
            workers=workers,
            cache=None if out is None else out / "cache",
            progress=progress,
        )
    if out is not None:
        write_folder(report, out)
    if as_json:
        print_json(report)
    else:
        print(markdown(report), end="")
