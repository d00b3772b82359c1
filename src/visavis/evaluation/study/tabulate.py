"""From answers and the key to a table: mean scores of each model with 95 % confidence intervals.

The unit is the rater: scores of one rater are averaged first, since answers of one person are not independent. The
interval is Student's t over those averages; with a single rater there is none.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from visavis.core.errors import DataError
from visavis.evaluation.report import write_text
from visavis.evaluation.study.form import LEAST, MOST, SCORES, Key, read_table

METHOD = "mean over raters of each rater's mean; 95 % interval by Student's t over raters"
_COVERED = 0.95

Scores = Mapping[str, int]


@dataclass(frozen=True)
class Answers:
    """What one rater said.

    Attributes:
        rater: the name the rater chose.
        by_id: scores by the id of a result.
    """

    rater: str
    by_id: Mapping[str, Scores]


def read_answers(path: Path, key: Key) -> Answers:
    """Read one rater's file; :class:`DataError` unless it answers this study in whole scores of the scale."""
    values = read_table(path)
    if values.get("study") != key.study:
        raise DataError(f"{path}: answers study {_brief(values.get('study'))}, but the key is of '{key.study}'")
    rater, answers = values.get("rater"), values.get("answers")
    if not isinstance(rater, str) or not rater.strip() or not isinstance(answers, dict):
        raise DataError(f"{path}: lacks the rater's name or a table of answers")
    known = {shown.id for shown in key.shown}
    for name, scores in answers.items():
        if name not in known:
            raise DataError(f"{path}: answers {_brief(name)}, which this study did not show")
        if not isinstance(scores, dict) or scores.keys() != {score.name for score in SCORES}:
            raise DataError(f"{path}: {name} needs {', '.join(score.name for score in SCORES)}, and nothing else")
        for score in scores.values():
            if type(score) is not int or not LEAST <= score <= MOST:
                raise DataError(
                    f"{path}: {name}: a score is a whole number from {LEAST} to {MOST}, not {_brief(score)}"
                )
    return Answers(rater.strip(), answers)


def _brief(value: object) -> str:
    return repr(value)[:80]


def tabulate(answers: Sequence[Answers], key: Key) -> dict[str, Any]:
    """Un-blind and average.

    Returns:
        ``{study, method, raters, shown, rows: [{model, answers, head_pose: {mean, low, high}, ...}]}``; values are
        None where nobody answered, ``low`` and ``high`` also with one rater.

    Raises:
        DataError: no answers, or one rater twice.
    """
    raters = [entry.rater for entry in answers]
    if twice := {rater for rater in raters if raters.count(rater) > 1}:
        raise DataError(f"rater {_brief(min(twice))} is there twice; give each rater's last file once")
    if not any(entry.by_id for entry in answers):
        raise DataError("nobody answered anything yet")
    return {
        "study": key.study,
        "method": METHOD,
        "raters": len(raters),
        "shown": len(key.shown),
        "rows": [_row(model, answers, key) for model in key.models],
    }


def _row(model: str, answers: Sequence[Answers], key: Key) -> dict[str, Any]:
    ids = {shown.id for shown in key.shown if shown.model == model}
    by_rater = [[scores for name, scores in entry.by_id.items() if name in ids] for entry in answers]
    row: dict[str, Any] = {"model": model, "answers": sum(map(len, by_rater))}
    for score in SCORES:
        row[score.name] = interval([float(np.mean([given[score.name] for given in mine])) for mine in by_rater if mine])
    return row


def interval(values: Iterable[float]) -> dict[str, float | None]:
    """Mean and 95 % interval of independent values, by Student's t."""
    array = np.array(list(values), float)
    count = len(array)
    if not count:
        return {"mean": None, "low": None, "high": None}
    mean = float(array.mean())
    if count == 1:
        return {"mean": mean, "low": None, "high": None}
    half = float(_reach(_COVERED, count - 1) * array.std(ddof=1) / np.sqrt(count))
    return {"mean": mean, "low": mean - half, "high": mean + half}


def _reach(share: float, freedom: int) -> float:
    """How far from zero Student's t with so many degrees of freedom stays in ``share`` of all cases."""
    low, high = 0.0, math.pi / 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _share_within(middle, freedom) < share else (low, middle)
    return math.sqrt(freedom) * math.tan(low)


def _share_within(angle: float, freedom: int) -> float:
    """Share of Student's t within ``sqrt(freedom) tan(angle)`` of zero, a finite sum (Abramowitz & Stegun 26.7.3)."""
    odd = freedom % 2
    term, total = (math.cos(angle) if odd else 1.0), 0.0
    for number in range(1 + odd, freedom, 2):
        total += term
        term *= math.cos(angle) ** 2 * number / (number + 1)
    total *= math.sin(angle)
    return (angle + total) * 2 / math.pi if odd else total


def markdown(report: Mapping[str, Any]) -> str:
    """The report as a Markdown table."""
    lines = [
        f"Scores from {LEAST} to {MOST}, more is better; {report['raters']} raters, {report['shown']} results shown; "
        f"{report['method']}.",
        "",
        "| model | " + " | ".join(score.short for score in SCORES) + " | answers |",
        "|---" * (len(SCORES) + 2) + "|",
    ]
    for row in report["rows"]:
        cells = [_escaped(row["model"]), *(_cell(row[score.name]) for score in SCORES), str(row["answers"])]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(value: Mapping[str, float | None]) -> str:
    if value["mean"] is None:
        return "-"
    if value["low"] is None:
        return f"{value['mean']:.2f}"
    return f"{value['mean']:.2f} [{value['low']:.2f}, {value['high']:.2f}]"


def _escaped(name: str) -> str:
    """A folder's name may hold anything; in a table it must stay one cell of plain text."""
    plain = "".join(sign if sign.isprintable() else " " for sign in name)
    return "".join("\\" + sign if sign in "\\|`*_[]<>#&" else sign for sign in plain)


def write_report(report: Mapping[str, Any], path: Path) -> None:
    """Write the report: as JSON, or as Markdown when the name ends in ``.md``."""
    text = markdown(report) if path.suffix == ".md" else json.dumps(report, indent=1, ensure_ascii=False) + "\n"
    write_text(path, text)
