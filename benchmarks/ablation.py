"""Train every row of the ablation: the same data, steps, seed and cost, one more ingredient a row.

python benchmarks/ablation.py SHARDS -o RUNS [--family NAME] [--steps N] [--set KEY=VALUE ...]
visavis evaluate --data DATASET --ablation RUNS -o report

The family's rows are the recipes in a folder of that name: headgan, headgan-continued or rhythmic; avfr's are the
default. Rows are trained one after the other, each in a folder of RUNS with its recipe's name. A row that was begun
goes on from its last checkpoint, so the same command continues what was interrupted.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import visavis

RECIPES = Path(visavis.__file__).parent / "training" / "recipes" / "ablation"
FAMILIES = sorted(path.name for path in RECIPES.iterdir() if path.is_dir())


def main() -> int:
    """Train what is not finished; the status of the first row that fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shards", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--family", choices=("avfr", *FAMILIES), default="avfr")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    given = parser.parse_args()
    recipes = RECIPES if given.family == "avfr" else RECIPES / given.family
    for recipe in sorted(recipes.glob("[0-9]*.toml")):
        run = given.output / recipe.stem
        command = [sys.executable, "-m", "visavis.cli.main", "train", str(recipe), "--data", str(given.shards)]
        command += ["--out", str(run), *(part for setting in given.set for part in ("--set", setting))]
        command += ["--steps", str(given.steps)] if given.steps else []
        command += ["--resume"] if run.is_dir() else []
        print(recipe.stem, flush=True)
        if status := subprocess.run(command, check=False).returncode:
            return status
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
