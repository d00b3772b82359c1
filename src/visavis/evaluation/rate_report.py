"""The comparison of codecs as people read it: a table, and rate against each metric."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from visavis.core.aside import written_aside
from visavis.core.errors import OutputError
from visavis.evaluation.columns import mesh_note
from visavis.evaluation.report import write_text

_JSON = "rate.json"
_LABELS = {
    "l1": "L1",
    "psnr": "PSNR / dB",
    "ssim": "SSIM",
    "lmd": "landmark distance / px",
    "lmd_mouth": "landmark distance of the mouth / px",
    "aed": "identity distance (AED)",
    "lpips": "LPIPS",
    "fid": "FID",
}
_DIGITS = {"l1": 4, "psnr": 1, "ssim": 3, "lmd": 2, "lmd_mouth": 2, "aed": 3, "lpips": 3, "fid": 1}
_RATES = {"kbps": 1, "wire_kbps": 1, "bpp": 4}


def open_folder(folder: Path, *, force: bool) -> None:
    """Make the folder of a comparison, or go on in one that was interrupted: its cache is used.

    Raises:
        OutputError: it holds results already and ``force`` is not given, or it cannot be made.
    """
    if (folder / _JSON).exists() and not force:
        raise OutputError(f"{folder}: holds {_JSON} already; --force replaces it")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made a folder ({error.strerror})") from error


def write_folder(report: Mapping[str, Any], folder: Path) -> None:
    """Write ``rate.png``, ``rate.md`` and, last, ``rate.json``, each aside and renamed."""
    with written_aside(folder / "rate.png") as aside:
        plot(report, aside)
    write_text(folder / "rate.md", markdown(report))
    write_text(folder / _JSON, json.dumps(report, indent=1) + "\n")


def markdown(report: Mapping[str, Any]) -> str:
    """A row an operating point, columns of metrics that were measured, and what is missing and why."""
    rows = report["rows"]
    metrics = _measured(rows)
    names = [*_RATES, *metrics]
    lines = [
        f"{len(report['clips'])} clips of split {report['split']} at {report['size']}x{report['size']}, every"
        f" {report['every']}th frame measured; kbps are of pictures alone. Landmarks in pixels of 256x256.",
        "",
        "| codec | " + " | ".join(names) + " | frames without a face |",
        "|---" * (len(names) + 2) + "|",
    ]
    for row in rows:
        cells = [_cell(row[name], {**_RATES, **_DIGITS}[name]) for name in names]
        lines.append(f"| {row['codec']} {row['point']} | " + " | ".join(cells) + f" | {row['no_face']} |")
    lines += ["", mesh_note(metrics)]
    missing = {**report["absent"], **report["unavailable"]}
    lines += ["", *(f"Not measured: {name} ({reason})." for name, reason in missing.items())]
    return "\n".join(lines) + "\n"


def plot(report: Mapping[str, Any], path: Path) -> None:
    """Draw rate against each measured metric, a line a codec, as a PNG.

    Raises:
        OutputError: matplotlib is missing, or the picture cannot be written.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter
    except ImportError as error:
        raise OutputError("a plot needs matplotlib: pip install matplotlib") from error
    rows = report["rows"]
    metrics = _measured(rows)
    columns = min(3, max(1, len(metrics)))
    lines = -(-max(1, len(metrics)) // columns)
    figure = Figure(figsize=(5 * columns, 4 * lines), layout="constrained")
    FigureCanvasAgg(figure)
    for place, metric in enumerate(metrics, 1):
        axes = figure.add_subplot(lines, columns, place)
        for codec in dict.fromkeys(row["codec"] for row in rows):
            points = sorted(
                (row["kbps"], row[metric]) for row in rows if row["codec"] == codec and row[metric] is not None
            )
            axes.plot(*zip(*points, strict=True), marker="o", markersize=4, label=codec)
        axes.set_xscale("log")
        # Powers of ten alone would leave a plot from 2 to 50 kbps with one number, and all of them overlap.
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel("kbps")
        axes.set_ylabel(_LABELS[metric])
        axes.grid(alpha=0.3, which="both")
        axes.legend(fontsize="small")
    title = f"{len(report['clips'])} clips of split {report['split']}, {report['size']}x{report['size']}"
    figure.suptitle(title)
    try:
        figure.savefig(path, dpi=110)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror})") from error


def _measured(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return [name for name in _LABELS if any(row.get(name) is not None for row in rows)]


def _cell(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
