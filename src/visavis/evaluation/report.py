"""The report as Markdown, and as a folder."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from visavis.core.aside import filled_aside, written_aside
from visavis.core.errors import OutputError
from visavis.evaluation.by_pose import by_pose_note, by_pose_table
from visavis.evaluation.columns import COLUMNS, Column

_JSON = "report.json"


def available(report: Mapping[str, Any]) -> list[Column]:
    """Metrics that at least one row has."""
    return [column for column in COLUMNS if any(row[column.name] is not None for row in report["rows"])]


def table(report: Mapping[str, Any], *, deltas: bool = False) -> str:
    """Rows and metrics as a Markdown table.

    Args:
        report: of :func:`visavis.evaluation.suite.evaluate`.
        deltas: whether each row after the first also says how far it lies from the first.
    """
    columns = available(report)
    lines = ["| model | " + " | ".join(f"{column.name} {column.arrow}" for column in columns) + " |"]
    lines.append("|---" * (len(columns) + 1) + "|")
    first = report["rows"][0]
    for row in report["rows"]:
        base = first if deltas and row is not first else None
        cells = [_cell(row[column.name], base and base[column.name]) for column in columns]
        lines.append(f"| {row['model']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(value: float | None, base: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if base is None else f"{value:.4g} ({value - base:+.2g})"


def markdown(report: Mapping[str, Any]) -> str:
    """The whole report: what was measured, the table, differences to the first row, networks, and what is missing."""
    parts = [
        f"# Evaluation, {report['protocol']} identity",
        f"{report['clips']} clips of split `{report['split']}`, {report['frames']} frames (every {report['every']}th), "
        f"{report['window_s']:g} s of consecutive frames of each clip, where its mouth moves most, for what moves.",
        table(report),
        report["note"],
    ]
    if len(report["rows"]) > 1:
        parts += [f"Differences to the first row, {report['rows'][0]['model']}:", table(report, deltas=True)]
    if report["by_pose"] is not None:
        parts += ["## By difficulty", by_pose_note(report["by_pose"]), by_pose_table(report["by_pose"])]
    parts.append("\n".join(f"- `{label}` is `{name}`" for label, name in report["models"].items() if label != name))
    if report["worst"]:
        lines = [f"- `{label}`: {', '.join(map(_moment, frames))}" for label, frames in report["worst"].items()]
        parts += ["Frames whose eyes look most broken (driving clip, time in it, score):", "\n".join(lines)]
    for title, entries in (
        ("Computed with:", report["networks"]),
        ("Not computed:", report["unavailable"]),
        ("Clips left out:", report["failed"]),
    ):
        if entries:
            parts += [title, "\n".join(f"- `{name}`: {text}" for name, text in entries.items())]
    return "\n\n".join(part for part in parts if part) + "\n"


def _moment(frame: Mapping[str, Any]) -> str:
    return f"{frame['clip']} {frame['seconds']:.2f} s ({frame['score']:.3f})"


def write_folder(report: Mapping[str, Any], folder: Path) -> None:
    """Write ``report.json`` and ``report.md`` into a folder."""
    write_text(folder / _JSON, json.dumps(report, indent=1) + "\n")
    write_text(folder / "report.md", markdown(report))


def write_text(path: Path, text: str) -> None:
    """Write a file aside and rename it."""
    with written_aside(path) as aside:
        aside.write_text(text, encoding="utf-8")


@contextmanager
def result_folder(folder: Path, *, force: bool) -> Iterator[Path]:
    """Give a folder to fill; it gets its name when the block ends well, and vanishes when it does not.

    Raises:
        OutputError: the name is taken and ``force`` is not given, or is taken by something else than a report.
    """
    if folder.exists():
        if not force:
            raise OutputError(f"{folder}: exists already; --force replaces it")
        if not folder.is_dir() or (any(folder.iterdir()) and not (folder / _JSON).is_file()):
            raise OutputError(f"{folder}: is not a folder of an earlier report; choose another name")
    if not folder.parent.is_dir() or not os.access(folder.parent, os.W_OK):
        raise OutputError(f"{folder}: its folder does not exist or cannot be written to")
    with filled_aside(folder) as inside:
        yield inside
