"""The drawn benchmark and its tables in docs/evaluation.md.

    PYTHONPATH=src python tests/drawn_benchmark.py

writes the tables anew, after weights were replaced or the way of measuring changed on purpose.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from visavis.evaluation.columns import COLUMNS
from visavis.evaluation.drawn import SPLIT, drawn_dataset
from visavis.evaluation.suite import USUAL_ROWS, evaluate

PAGE = Path(__file__).parents[1] / "docs" / "evaluation.md"
MODELS = USUAL_ROWS
PROTOCOLS = ("same", "cross")
#: What the tables show, and how far another machine may be off: other codecs and CPUs round otherwise.
TOLERANCES = {
    "l1": 0.001, "psnr": 0.25, "ssim": 0.005, "lmd": 0.15, "lmd_mouth": 0.2, "lmd68": 0.25, "lmd68_mouth": 0.35,
    "csim": 0.01, "face_sharpness": 0.03, "mouth_sharpness": 0.04,
    "head_dynamics": 0.08, "lip_dynamics": 0.08, "blink": 0.25,
    "mouth_correlation": 0.06, "mouth_range": 0.08, "mouth_contact": 0.12, "lid_correlation": 0.1, "lid_gap": 0.05,
}  # fmt: skip

Table = dict[str, list[float | None]]


def measured(protocol: str) -> Table:
    """Run the benchmark: metrics of :data:`TOLERANCES`, each with a value a model."""
    with drawn_dataset() as folder:
        report = evaluate(folder, SPLIT, MODELS, protocol=protocol)
    assert not report["failed"]
    return {name: [row[name] for row in report["rows"]] for name in TOLERANCES}


def printed(table: Mapping[str, Any]) -> str:
    """Markdown with a line a metric; what is null for all models is left out."""
    arrows = {column.name: column.arrow for column in COLUMNS}
    lines = ["| | " + " | ".join(MODELS) + " |", "|---" * (len(MODELS) + 1) + "|"]
    for name, values in table.items():
        if any(value is not None for value in values):
            cells = ["-" if value is None else f"{value:.4g}" for value in values]
            lines.append(f"| {name} {arrows[name]} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def parsed(text: str) -> Table:
    """The inverse of :func:`printed`."""
    table: Table = {}
    for line in text.strip().splitlines()[2:]:
        name, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        table[name.split()[0]] = [None if cell == "-" else float(cell) for cell in cells]
    return table


def told(protocol: str) -> Table:
    """What the page says."""
    found = re.search(_between(protocol), PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None, f"{PAGE} has no table of protocol {protocol}"
    return parsed(found[2])


def _between(protocol: str) -> str:
    return rf"(<!-- drawn {protocol} -->\n)(.*?)(\n<!-- end -->)"


def renew() -> None:
    """Write both tables into the page."""
    for protocol in PROTOCOLS:
        table = printed(measured(protocol))
        text = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(
            re.sub(_between(protocol), lambda found, new=table: found[1] + new + found[3], text, flags=re.DOTALL),
            encoding="utf-8",
        )
        print(protocol, table, sep="\n", flush=True)


if __name__ == "__main__":
    renew()
