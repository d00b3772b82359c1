"""``visavis prepare``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from visavis.cli.console import print_json, progress_bar
from visavis.cli.options import Json
from visavis.cli.signals import Told

_MB = 1_000_000
_SHOWN = 20


def prepare(
    dataset: Annotated[
        Path,
        typer.Argument(
            help="Folder with clips/*.mp4 and manifest.csv, a folder of videos, or one in VoxCeleb's layout."
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of shards to write.")],
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Processes (1 unless said); with --ray, most clips at a time (all processors)."),
    ] = None,
    ray: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Ray cluster to work on: host:port, auto, or local.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many clips.")] = None,
    shard_mb: Annotated[float, typer.Option(min=0.1, help="Largest size of a shard in MB.")] = 25.0,
    val_share: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Share of identities held back where the data set does not say.")
    ] = 0.05,
    videos: Annotated[Path | None, typer.Option(help="Folder of VoxCeleb's videos, if elsewhere.")] = None,
    face: Annotated[int, typer.Option(min=0, max=3, help="Which face of each video, 0 for the largest.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace existing shards.")] = False,
    follow_links: Annotated[
        bool, typer.Option("--follow-links", help="Read videos outside of DATASET to which links in it lead.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Turn videos into shards: tracked faces with their priors, ready for training.

    A run that was interrupted, even by kill -9, goes on where it was when it is started again.
    """
    from visavis.data.prepare.run import PrepareOptions
    from visavis.data.prepare.run import prepare as run

    count = workers or (0 if ray else 1)
    options = PrepareOptions(
        count, ray, limit, int(shard_mb * _MB), val_share, videos, force, face=face, follow_links=follow_links
    )
    try:
        with progress_bar("prepare", "clips/s") as progress:
            report = run(dataset, output, options, progress=progress)
    except KeyboardInterrupt:
        print("interrupted; clips that are done are kept, run again to go on", file=sys.stderr)
        raise Told from None
    if as_json:
        print_json(report.as_json())
        return
    print(
        f"{output}: {report.clips} clips ({report.kept} good enough to train on, {report.skipped} done before), "
        f"{report.frames} frames, {report.shards} shards, {report.seconds:.0f} s; "
        f"{len(report.failed)} clips failed, {len(report.missing)} videos missing"
    )
    for name, why in list(report.failed.items())[:_SHOWN]:
        print(f"failed {name}: {why}")
    if len(report.failed) > _SHOWN:
        print(f"... all are in {output / 'report.json'}")
