"""The curves of a run as one picture: each loss and measurement over the steps, drawn from the log alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from visavis.core.aside import written_aside

_PANEL = (360, 170)  # width and height in pixels, margins included
_MARGIN = 24
_COLUMNS = 2
_SMOOTH = 15  # entries that the thick line averages over, at most a third of all
_RAW, _MEAN, _FRAME = (190, 205, 225), (30, 90, 170), (170, 170, 170)

Curve = tuple[NDArray[np.float64], NDArray[np.float64]]


def read_curves(log: Path) -> dict[str, Curve]:
    """Steps and values of each loss in a ``log.jsonl``, in the order in which they appear; half a line is left out.

    What was measured on validation clips follows under names that begin with ``validation/``.
    """
    points: dict[str, list[tuple[float, float]]] = {}
    for line in log.read_text(encoding="utf-8").splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        measured = {f"validation/{name}": value for name, value in entry.get("validation", {}).items()}
        for name, value in {**entry.get("losses", {}), **measured}.items():
            if np.isfinite(value):
                points.setdefault(name, []).append((entry["step"], value))
    points = dict(sorted(points.items(), key=lambda named: named[0].startswith("validation/")))
    return {name: (np.array(p, np.float64)[:, 0], np.array(p, np.float64)[:, 1]) for name, p in points.items()}


def draw_curves(curves: dict[str, Curve]) -> Image.Image:
    """One panel a curve: what was logged in pale, its running mean in dark, and where it begins and ends."""
    width, height = _PANEL
    lines = -(-len(curves) // _COLUMNS)
    picture = Image.new("RGB", (width * min(_COLUMNS, len(curves)), height * lines), "white")
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(size=11)
    for number, (name, (steps, values)) in enumerate(curves.items()):
        left, top = number % _COLUMNS * width + _MARGIN, number // _COLUMNS * height + _MARGIN
        box = (left, top, left + width - 2 * _MARGIN, top + height - 2 * _MARGIN)
        draw.rectangle(box, outline=_FRAME)
        low, high = float(values.min()), float(values.max())
        scale = (low, high if high > low else low + 1)
        draw.line(_places(steps, values, scale, box), fill=_RAW)
        draw.line(_places(steps, _running_mean(values), scale, box), fill=_MEAN, width=2)
        draw.text((left, top - 15), f"{name}: {values[0]:.4g} to {values[-1]:.4g}", fill="black", font=font)
        draw.text((left, box[3] + 4), f"step {steps[0]:.0f}", fill="black", font=font)
        draw.text((box[2], box[3] + 4), f"{steps[-1]:.0f}", fill="black", font=font, anchor="ra")
        draw.text((box[2] - 2, top + 1), f"{high:.4g}", fill="black", font=font, anchor="ra")
        draw.text((box[2] - 2, box[3] - 13), f"{low:.4g}", fill="black", font=font, anchor="ra")
    return picture


def write_curve(log: Path, path: Path) -> None:
    """Draw a log as a PNG, aside and renamed; nothing is written while it holds fewer than two entries."""
    curves = {name: curve for name, curve in read_curves(log).items() if len(curve[0]) > 1}
    if not curves:
        return
    with written_aside(path, alone=True) as aside:
        draw_curves(curves).save(aside, format="PNG")


def _running_mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    count = max(1, min(_SMOOTH, len(values) // 3))
    sums = np.concatenate([[0.0], values.cumsum()])
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(0, ends - count)
    return np.asarray((sums[ends] - sums[starts]) / (ends - starts))


def _places(
    steps: NDArray[np.float64], values: NDArray[np.float64], scale: tuple[float, float], box: Sequence[int]
) -> list[tuple[float, float]]:
    across = (steps - steps[0]) / max(1.0, float(steps[-1] - steps[0]))
    up = (values - scale[0]) / (scale[1] - scale[0])
    x, y = box[0] + across * (box[2] - box[0]), box[3] - up * (box[3] - box[1])
    return list(zip(x.tolist(), y.tolist(), strict=True))
