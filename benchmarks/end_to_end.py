"""Frames a second of whole commands, from start to end: `visavis reenact` and `decode` of a drawn clip.

Each run is a process of its own, as a user starts it. With ``--other`` the same is run by another checkout, by turns,
so that a machine that slows down slows both alike; ratios are what to read. Medians of runs alone are followed by those
beside ``--busy`` more processes that compute, as a neighbour would. "Busy" is the share of the time at which a stage
was at work; the longest holds the others.

    PYTHONPATH=src python benchmarks/end_to_end.py --seconds 60 --rounds 3 --busy 0 2 --other /path/of/other/src
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import visavis
from visavis.drawn.synthetic import draw, write_clip
from visavis.media.still import write_picture

#: A command, and when it wrote its first frame, what it took of the processor, and its peak memory.
MEASURED = """
import json, os, sys, time
began = time.time()
from visavis.cli.main import main
from visavis.media.writer import VideoWriter
write, first = VideoWriter.write, []
def noted(self, frame):
    write(self, frame)
    first or first.append(time.time())
VideoWriter.write = noted
try:
    main()
finally:
    lines = open("/proc/self/status").read().splitlines()
    peak = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1000
    spent = sum(os.times()[:2])
    print(json.dumps({"first_s": first[0] - began if first else 0, "cpu_s": spent, "peak_mb": peak}), file=sys.stderr)
"""


def run(source: Path, arguments: list[str]) -> dict[str, Any]:
    """One command in a checkout; its report, and what it cost."""
    environment = os.environ | {"PYTHONPATH": str(source)}
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *arguments, "--json"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    report = json.loads(done.stdout)
    return report | json.loads(done.stderr.strip().splitlines()[-1])


def figures(report: dict[str, Any]) -> dict[str, float]:
    """What is compared."""
    stages = report["ms_per_frame"]
    total = stages["total"]
    shown = {f"{name} busy": ms / total for name, ms in stages.items() if name != "total"}
    return {
        "fps": 1000 / total,
        "CPU ms a frame": 1000 * report["cpu_s"] / report["frames"],
        "first frame s": report["first_s"],
        "peak MB": report["peak_mb"],
        **shown,
    }


def burn() -> None:
    """Keep one processor busy for ever."""
    while True:
        sum(i * i for i in range(10_000))


def commands(folder: Path, model: str, paste_back: bool) -> dict[str, list[str]]:
    """The commands that are measured, on files in a folder."""
    reenact = ["reenact", str(folder / "portrait.png"), str(folder / "clip.mp4"), "-o", str(folder / "out.mp4")]
    decode = ["decode", str(folder / "call.vsv"), "-o", str(folder / "played.mp4"), "--force"]
    extra = ["--paste-back"] if paste_back else []
    return {"reenact": [*reenact, "--model", model, "--force", *extra], "decode": decode}


def prepare(folder: Path, model: str, seconds: float, height: int) -> None:
    """Draw a portrait and a clip, and make a call of the clip."""
    write_clip(folder / "clip.mp4", seconds, seed=1, size=height)
    write_picture(folder / "portrait.png", draw(height, 3))
    run(
        Path(visavis.__file__).parents[1],
        ["encode", str(folder / "clip.mp4"), "-o", str(folder / "call.vsv"), "--model", model],
    )


def main() -> None:
    """Run both commands by turns and print medians, and medians of ratios to the other checkout."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--busy", type=int, nargs="*", default=[0, 2], help="busy processes beside, one number a table")
    parser.add_argument("--model", default="avfr-256")
    parser.add_argument("--height", type=int, default=256, help="of portrait and clip, in pixels")
    parser.add_argument("--paste-back", action="store_true")
    parser.add_argument("--only", nargs="*", default=["reenact", "decode"])
    parser.add_argument("--other", type=Path, metavar="SRC", help="src folder of another checkout")
    options = parser.parse_args()
    here = Path(visavis.__file__).parents[1]
    checkouts = {"this": here} | ({"other": options.other} if options.other else {})
    print(f"visavis {visavis.__version__}, {options.model}; load {os.getloadavg()[0]:.1f} before")
    with tempfile.TemporaryDirectory(prefix="visavis-bench-") as name:
        folder = Path(name)
        prepare(folder, options.model, options.seconds, options.height)
        for busy in options.busy:
            neighbours = [multiprocessing.Process(target=burn, daemon=True) for _ in range(busy)]
            for neighbour in neighbours:
                neighbour.start()
            for verb, arguments in commands(folder, options.model, options.paste_back).items():
                if verb in options.only:
                    _compare(f"{verb}, {busy} busy processes beside", checkouts, arguments, options.rounds)
            for neighbour in neighbours:
                neighbour.terminate()


def _compare(title: str, checkouts: dict[str, Path], arguments: list[str], rounds: int) -> None:
    found: dict[str, list[dict[str, float]]] = {name: [] for name in checkouts}
    for _ in range(rounds):
        for name, source in checkouts.items():
            found[name].append(figures(run(source, arguments)))
    print(f"\n{title}")
    for key in found["this"][0]:
        medians = {name: statistics.median(one[key] for one in runs) for name, runs in found.items()}
        line = "  ".join(f"{name} {value:8.2f}" for name, value in medians.items())
        if "other" in found:
            ratios = [
                one[key] / max(other[key], 1e-9) for one, other in zip(found["this"], found["other"], strict=True)
            ]
            line += f"  ratio {statistics.median(ratios):5.2f}"
        print(f"{key:16} {line}", flush=True)


if __name__ == "__main__":
    main()
