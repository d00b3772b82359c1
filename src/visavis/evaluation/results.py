"""What one clip gives, and the report that all clips add up to.

Clips are measured apart, in any process, and added in their order: so a report does not depend on how many processes
there were.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visavis.evaluation.by_pose import ByPose
from visavis.evaluation.columns import COLUMNS
from visavis.evaluation.metrics.dynamics import Blinks
from visavis.evaluation.metrics.frechet import Gaussian, frechet_distance
from visavis.evaluation.metrics.opening import Contact

Features = dict[str, NDArray[np.float32]]
_NO_WINDOW = "no clip has consecutive frames that all show a face"
_NO_SPEECH = "no clip has a second at 25 fps of consecutive frames with a face and its own speech"
_ONLY_WHERE = {
    "blink": "nobody blinks in them",
    "mouth_correlation": "no driver's mouth moves in them",
    "mouth_range": "no driver's mouth moves in them",
    "mouth_contact": "no driver closes the lips in them",
    "lid_correlation": "no driver's lids move in them",
    "lid_gap": "no driver closes the eyes in them",
}
_WORST = 20
_TOO_FEW = "needs two pictures, or for fvd two clips, at least"
#: Told beside the columns: what `lid_gap` is the difference of.
_BESIDE = ("lid_least", "lid_least_driver")
_NO_FACE = "no rendered frame shows a face"


@dataclass
class ModelResult:
    """One model on one clip, or on several.

    Attributes:
        sums: total and count of each metric.
        by_frame: of each driving frame, in order, the metrics that are of single frames.
        blinks: of the windows.
        contact: of the lips in them.
        features: for the Frechet distances, by metric.
        broken: score and time in seconds of frames whose eyes look broken.
        frames: how many were measured.
        no_face: in how many no face was found.
        no_face68: in how many dlib found none, though it did in the truth.
    """

    sums: dict[str, tuple[float, int]] = field(default_factory=dict)
    by_frame: list[dict[str, float]] = field(default_factory=list)
    blinks: Blinks = field(default_factory=Blinks)
    contact: Contact = field(default_factory=Contact)
    features: Features = field(default_factory=dict)
    broken: list[tuple[float, float]] = field(default_factory=list)
    frames: int = 0
    no_face: int = 0
    no_face68: int = 0

    def add_frame(self, number: int, values: Mapping[str, float]) -> None:
        """Take in one value of each of some metrics, of one driving frame."""
        self.add(values)
        self.by_frame[number].update(values)

    def add(self, values: Mapping[str, float]) -> None:
        """Take in one value of each of some metrics."""
        for name, value in values.items():
            total, count = self.sums.get(name, (0.0, 0))
            self.sums[name] = total + value, count + 1

    def join(self, other: ModelResult) -> None:
        """Add another clip's; features, broken frames and single frames excepted."""
        for name, (more, number) in other.sums.items():
            total, count = self.sums.get(name, (0.0, 0))
            self.sums[name] = total + more, count + number
        self.blinks += other.blinks
        self.contact += other.contact
        self.frames += other.frames
        self.no_face += other.no_face
        self.no_face68 += other.no_face68


@dataclass
class ClipResult:
    """Everything measured on one clip.

    Attributes:
        name: the clip's id.
        frames: driving frames measured.
        degrees: of each of them, how far its head is turned from the source's.
        models: result by label.
        real: features of the true frames, by metric.
        failed: why the clip could not be measured; the rest is empty then.
    """

    name: str
    frames: int = 0
    degrees: list[float] = field(default_factory=list)
    models: dict[str, ModelResult] = field(default_factory=dict)
    real: Features = field(default_factory=dict)
    failed: str | None = None


class Tally:
    """Adds up clips.

    Args:
        labels: of the models, in the order of the rows.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        self.clips = 0
        self.frames = 0
        self.failed: dict[str, str] = {}
        self.by_pose = ByPose(labels)
        self._models = {label: ModelResult() for label in labels}
        self._real: dict[str, Gaussian] = {}
        self._made: dict[str, dict[str, Gaussian]] = {label: {} for label in labels}
        self._broken: dict[str, list[tuple[float, str, float]]] = {label: [] for label in labels}

    def add(self, clip: ClipResult) -> None:
        """Take in one clip; the order of calls is the order of sums."""
        if clip.failed is not None:
            self.failed[clip.name] = clip.failed
            return
        self.clips += 1
        self.frames += clip.frames
        self.by_pose.add(clip)
        _gather(self._real, clip.real)
        for label, result in clip.models.items():
            self._models[label].join(result)
            _gather(self._made[label], result.features)
            self._broken[label] += [(score, clip.name, time) for score, time in result.broken]

    def rows(self) -> list[dict[str, Any]]:
        """One row a model: every metric, None where it could not be computed."""
        return [self._row(label) for label in self._models]

    def worst(self) -> dict[str, list[dict[str, Any]]]:
        """Of each model that has broken frames those that look it most, worst first: clip, time and score."""
        found = {}
        for label, frames in self._broken.items():
            ranked = sorted(frames, key=lambda one: (-one[0], one[1:]))[:_WORST]
            if ranked:
                found[label] = [
                    {"clip": clip, "seconds": round(time, 3), "score": round(score, 4)} for score, clip, time in ranked
                ]
        return found

    def _row(self, label: str) -> dict[str, Any]:
        result = self._models[label]
        row: dict[str, Any] = {"model": label}
        for name in (*(column.name for column in COLUMNS), *_BESIDE):
            total, count = result.sums.get(name, (0.0, 0))
            row[name] = total / count if count else None
        for name, made in self._made[label].items():
            if made.count >= 2 and self._real[name].count >= 2:
                row[name] = frechet_distance(self._real[name], made)
        row["blink"] = result.blinks.score
        row["mouth_contact"] = result.contact.share
        row |= {"blinks": result.blinks.made, "blinks_real": result.blinks.real}
        row |= {"frames": result.frames, "no_face": result.no_face, "no_face68": result.no_face68}
        return {name: _rounded(value) if isinstance(value, float) else value for name, value in row.items()}


def _rounded(value: float) -> float:
    """Six digits that count, whatever the scale."""
    return float(f"{value:.6g}")


def _gather(into: dict[str, Gaussian], features: Features) -> None:
    for name, rows in features.items():
        if name not in into:
            into[name] = Gaussian(rows.shape[1])
        into[name].add(rows)


def reasons(rows: Sequence[Mapping[str, Any]], known: Mapping[str, str]) -> dict[str, str]:
    """Why metrics are null in every row: the known reason, or what the clips lacked."""
    found = {}
    for column in COLUMNS:
        if all(row[column.name] is None for row in rows):
            found[column.name] = known.get(column.name) or _lack(column.name, window=column.window)
    return found


def _lack(name: str, *, window: bool) -> str:
    if name in ("fid", "ffd", "fvd"):
        return _TOO_FEW
    if "sync" in name:
        return _NO_SPEECH
    if name in _ONLY_WHERE:
        return f"{_NO_WINDOW}, or {_ONLY_WHERE[name]}"
    return _NO_WINDOW if window else _NO_FACE
