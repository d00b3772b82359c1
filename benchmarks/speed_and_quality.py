"""What a frame costs beside what it is worth: time of processor by `visavis bench`, psnr and lmd of a report.

python benchmarks/speed_and_quality.py REPORT.json [--threads N] [--frames N] [--rounds N] [--plot OUT.png]

REPORT.json is of ``visavis evaluate -o``. Every model of it that has weights is timed, by turns, each round in a
process of its own; the least of the rounds counts, since other work on the machine only ever adds. Built-in models
are lines across the plot: they have no network to time.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from visavis.evaluation.baselines import BUILT_IN

COLUMNS = (("psnr", "psnr, dB (more is better)"), ("lmd", "lmd, px of 256 (less is better)"))
SHOWN_BUILT_IN = "mesh-warp"


def timed(model: str, threads: int, frames: int) -> dict[str, Any]:
    """What ``visavis bench`` says of a model."""
    told = ["--model", model, "--threads", str(threads), "--frames", str(frames), "--json"]
    code = "import sys; from visavis.cli.main import main; sys.exit(main())"
    done = subprocess.run([sys.executable, "-c", code, "bench", *told], stdout=subprocess.PIPE, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def figures(report: dict[str, Any], threads: int, frames: int, rounds: int) -> list[dict[str, Any]]:
    """A row a model: milliseconds, and the report's figures."""
    rows = [row for row in report["rows"] if row["model"] not in BUILT_IN]
    taken: dict[str, list[dict[str, Any]]] = {row["model"]: [] for row in rows}
    for _ in range(rounds):
        for model, found in taken.items():
            found.append(timed(model, threads, frames))
    made = []
    for row in rows:
        found = taken[row["model"]]
        network = min(one["ms_per_frame"]["motion"] + one["ms_per_frame"]["render"] for one in found)
        cpu = min(one["cpu_ms_per_frame"] for one in found)
        engine = f"{found[0]['engine']} {found[0]['precision']}"
        quality = {name: row[name] for name, _ in COLUMNS}
        made.append(
            {"model": row["model"], "cpu_ms": cpu, "network_ms": round(network, 1), "engine": engine, **quality}
        )
    return made


def plot(rows: list[dict[str, Any]], built_in: dict[str, Any] | None, path: Path) -> None:
    """Draw quality over time of processor, a panel a metric."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (name, words) in zip(figure.subplots(1, 2), COLUMNS, strict=True):
        for row in rows:
            axes.plot(row["cpu_ms"], row[name], "o")
            axes.annotate(row["model"], (row["cpu_ms"], row[name]), (5, 5), textcoords="offset points")
        if built_in is not None:
            axes.axhline(built_in[name], color="grey", linewidth=0.8, linestyle="--", label=SHOWN_BUILT_IN)
        axes.axvline(80, color="grey", linewidth=0.8, label="two processors at 25 fps")
        axes.set_xlim(0, 1.3 * max(80, *(row["cpu_ms"] for row in rows)))
        axes.set_xlabel("ms of processor a frame, all stages")
        axes.set_ylabel(words)
        axes.margins(y=0.15)
        axes.legend(loc="lower left")
    figure.savefig(path, dpi=110)


def main() -> None:
    """Time, print a table and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--plot", type=Path)
    told = parser.parse_args()
    report = json.loads(told.report.read_text(encoding="utf-8"))
    rows = figures(report, told.threads, told.frames, told.rounds)
    print("| model | engine | ms of processor, all stages | ms of motion and rendering | psnr | lmd |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        print("| {model} | {engine} | {cpu_ms:.0f} | {network_ms:.0f} | {psnr} | {lmd} |".format(**row))
    built_in = next((row for row in report["rows"] if row["model"] == SHOWN_BUILT_IN), None)
    if told.plot is not None:
        plot(rows, built_in, told.plot)


if __name__ == "__main__":
    main()
