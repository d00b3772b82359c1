"""``visavis evaluate``."""

from __future__ import annotations

import os
from contextlib import ExitStack
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from visavis.cli.console import Progress, print_json, progress_bar
from visavis.cli.options import EngineName, Json, Precision

if TYPE_CHECKING:
    from visavis.nn.engine import Engine

_MOST_WORKERS = 4


class Protocol(str, Enum):
    """Choices of --protocol."""

    same = "same"
    cross = "cross"
    talk = "talk"


def evaluate(
    data: Annotated[Path | None, typer.Option(help="Folder with clips/*.mp4 and manifest.csv.")] = None,
    drawn: Annotated[bool, typer.Option("--drawn", help="Draw people who talk, in place of --data.")] = False,
    split: Annotated[str, typer.Option(help="Which split.")] = "val",
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="Weights (also weights:deaf, weights:memoryless), copy, mesh-warp, real; label=one of these; repeated."
        ),
    ] = None,
    ablation: Annotated[
        Path | None, typer.Option(help="Folder of training runs: a row for each, in the order of their names.")
    ] = None,
    protocol: Annotated[
        Protocol, typer.Option(help="same identity, cross identity, or talk: by sound alone.")
    ] = Protocol.same,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many clips.")] = None,
    every: Annotated[int, typer.Option(min=1, help="Measure every so many frames.")] = 5,
    window: Annotated[
        float, typer.Option(min=0.0, max=60.0, help="Seconds of consecutive frames for what moves; 0 leaves it out.")
    ] = 2.0,
    by_pose: Annotated[
        bool,
        typer.Option("--by-pose", help="Also by how far heads are turned from the source's, in thirds of the frames."),
    ] = False,
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0 is one a core, at most 4, and 1 on a GPU.")] = 0,
    metric_weights: Annotated[Path | None, typer.Option(help="Folder with networks of metrics.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for report.json, report.md and sheets/.")
    ] = None,
    markdown: Annotated[Path | None, typer.Option(help="File for the report as Markdown.")] = None,
    sheets: Annotated[Path | None, typer.Option(help="Folder for contact sheets.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace existing results.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    engine: Annotated[
        EngineName, typer.Option(help="Who computes the models; figures of this page are by torch.")
    ] = EngineName.torch,
    precision: Annotated[Precision, typer.Option(help="Of the models; figures are in fp32.")] = Precision.fp32,
    as_json: Json = False,
) -> None:
    """Measure models against ground truth on a data set."""
    from visavis.evaluation import report as reports
    from visavis.evaluation.by_pose import by_pose_note, by_pose_table
    from visavis.evaluation.drawn import SPLIT, drawn_dataset
    from visavis.evaluation.models import runs_in
    from visavis.evaluation.suite import USUAL_ROWS
    from visavis.evaluation.suite import evaluate as run
    from visavis.media.writer import check_output
    from visavis.nn.engine import Engine

    rows = [*(model or []), *(runs_in(ablation) if ablation is not None else [])]
    if drawn == (data is not None):
        raise typer.BadParameter("give either --data FOLDER or --drawn")
    with ExitStack() as stack:
        if markdown is not None:
            check_output(markdown, [], force=force)
        folder = stack.enter_context(reports.result_folder(output, force=force)) if output is not None else None
        if sheets is None and folder is not None:
            sheets = folder / "sheets"
        if data is None:
            data, split = stack.enter_context(drawn_dataset()), SPLIT
        progress = stack.enter_context(progress_bar("evaluate", "clips/s"))
        computed = Engine(device, precision.value, 1, engine.value)
        if protocol is Protocol.talk:
            _talk(data, split, rows, limit, window, computed, metric_weights, markdown, as_json, progress)
            return
        report = run(
            data,
            split,
            rows or USUAL_ROWS,
            protocol=protocol.value,
            limit=limit,
            every=every,
            window_s=window,
            engine=computed,
            workers=workers or _processes(device),
            metric_weights=metric_weights,
            sheets=sheets,
            by_pose=by_pose,
            progress=progress,
        )
        if folder is not None:
            reports.write_folder(report, folder)
        if markdown is not None:
            reports.write_text(markdown, reports.markdown(report))
    if as_json:
        print_json(report)
        return
    print(reports.table(report))
    if by_pose:
        print(by_pose_note(report["by_pose"]))
        print(by_pose_table(report["by_pose"]))
    print(report["note"])
    for title, entries in (("not computed", report["unavailable"]), ("left out", report["failed"])):
        for name, why in entries.items():
            print(f"{title}: {name}: {why}")


def _talk(
    data: Path,
    split: str,
    rows: list[str],
    limit: int | None,
    window: float,
    engine: Engine,
    weights: Path | None,
    markdown: Path | None,
    as_json: bool,
    progress: Progress,
) -> None:
    from visavis.evaluation import talk
    from visavis.evaluation.report import write_text

    report = talk.evaluate_talk(
        data,
        split,
        rows or talk.USUAL_ROWS,
        limit=limit,
        window_s=window,
        engine=engine,
        metric_weights=weights,
        progress=progress,
    )
    text = "\n".join([talk.table(report), "", *talk.told(report)])
    if markdown is not None:
        write_text(markdown, text + "\n")
    if as_json:
        print_json(report)
    else:
        print(text)


def _processes(device: str) -> int:
    """As many processes as cores, which one GPU's memory could not hold."""
    from visavis.nn.engine import choose_device

    if choose_device(device) != "cpu":
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, _MOST_WORKERS)
