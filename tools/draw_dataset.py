"""Draw a small dataset of talking people who do not exist, in the layout that `visavis evaluate` and `prepare` read.

python tools/draw_dataset.py FOLDER [--people 3] [--seconds 4]

For trying every command without footage of anybody, and for pictures that may be shown: the sheets of
``visavis evaluate --data FOLDER --sheets SHEETS`` are those of docs/report.md.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

from visavis.drawn.synthetic import write_clip


def main() -> None:
    """Write ``clips/person-N.mp4`` at 256x256 and 25 frames a second, and ``manifest.csv``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--people", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0)
    given = parser.parse_args()
    (given.folder / "clips").mkdir(parents=True)
    with (given.folder / "manifest.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "identity", "split"])
        for seed in range(given.people):
            name = f"person-{seed}"
            write_clip(given.folder / "clips" / f"{name}.mp4", given.seconds, seed=seed)
            rows.writerow([name, name, "val"])


if __name__ == "__main__":
    main()
