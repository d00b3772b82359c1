"""The measures of a report by how far the driver's head is turned from the reference's (HeadGAN, figure 4).

Thirds of all frames that are measured, so where they part is known after the last clip only: clips bring each frame's
values along, and are sorted here in their order, whichever process measured them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from visavis.evaluation.columns import COLUMNS
from visavis.face.fitting import fit_clip
from visavis.face.model3d import rotation_matrices

if TYPE_CHECKING:
    from visavis.evaluation.results import ClipResult

Mesh = NDArray[np.float32]
THIRDS = ("easy", "middle", "hard")


def degrees_apart(reference: Mesh, meshes: Sequence[Mesh]) -> list[float]:
    """Angles of the rotations that turn the reference's head into each other head, in degrees, 0 to 180.

    Heads are the rotations of cameras fitted to the 3D face (:func:`visavis.face.fitting.fit_clip`); how near they are
    and where in the picture does not count.

    Args:
        reference: ``float32 [478, 3]`` in [-1, 1].
        meshes: of the other heads, likewise; they may be other people's.
    """
    if not meshes:
        return []
    # A camera comes of one mesh alone, so that it does not matter who else is in the stack.
    turns = rotation_matrices(fit_clip(np.stack([reference, *meshes])).camera[:, 3:6])
    between = turns[1:] @ turns[0].T
    # Twice the sine and the cosine of the angle; a cosine alone says little of small angles.
    across = between - np.swapaxes(between, 1, 2)
    sine = np.sqrt((across**2).sum((1, 2)) / 2)
    return [float(angle) for angle in np.degrees(np.arctan2(sine, np.trace(between, axis1=1, axis2=2) - 1))]


class ByPose:
    """Sorts the frames of clips into thirds.

    Args:
        labels: of the models, in the order of the rows.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        self._degrees: list[float] = []
        self._frames: dict[str, list[Mapping[str, float]]] = {label: [] for label in labels}

    def add(self, clip: ClipResult) -> None:
        """Take in one clip; the order of calls is the order of sums."""
        self._degrees += clip.degrees
        for label, result in clip.models.items():
            self._frames[label] += result.by_frame

    def report(self) -> dict[str, Any]:
        """The report's ``by_pose``.

        Returns:
            ``bounds_deg``, the two angles that part the thirds (a frame at a bound is of the easier one); ``most_deg``;
            ``rows``, three a model: ``model``, ``third``, ``frames``, ``no_face``, and the mean of each measure that
            is one of single frames, None where no frame of the third has it.
        """
        degrees = np.array(self._degrees)
        bounds = np.quantile(degrees, [1 / 3, 2 / 3]) if len(degrees) else np.zeros(2)
        third_of = np.searchsorted(bounds, degrees)
        known = {name for frames in self._frames.values() for values in frames for name in values}
        names = [column.name for column in COLUMNS if column.name in known]
        rows = []
        for label, frames in self._frames.items():
            for third, name in enumerate(THIRDS):
                inside = [values for values, which in zip(frames, third_of, strict=True) if which == third]
                row: dict[str, Any] = {"model": label, "third": name, "frames": len(inside)}
                # What every picture with a face has.
                row["no_face"] = sum("face_sharpness" not in values for values in inside)
                rows.append(
                    row | {name: _mean([values[name] for values in inside if name in values]) for name in names}
                )
        return {
            "bounds_deg": [round(float(bound), 2) for bound in bounds],
            "most_deg": round(float(degrees.max(initial=0)), 2),
            "rows": rows,
        }


def _mean(values: Sequence[float]) -> float | None:
    return float(f"{sum(values) / len(values):.6g}") if values else None


def by_pose_table(by_pose: Mapping[str, Any]) -> str:
    """Rows and measures of :meth:`ByPose.report` as a Markdown table."""
    rows = by_pose["rows"]
    columns = [column for column in COLUMNS if any(row.get(column.name) is not None for row in rows)]
    lines = ["| third | model | frames | " + " | ".join(f"{column.name} {column.arrow}" for column in columns) + " |"]
    lines.append("|---" * (len(columns) + 3) + "|")
    for third in THIRDS:
        for row in rows:
            if row["third"] == third:
                cells = ["-" if row[one.name] is None else f"{row[one.name]:.4g}" for one in columns]
                lines.append(f"| {third} | {row['model']} | {row['frames']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def by_pose_note(by_pose: Mapping[str, Any]) -> str:
    """What the thirds are, in one sentence."""
    low, high = by_pose["bounds_deg"]
    return (
        "Thirds of the frames by the angle between the driver's head and the reference's: "
        f"easy up to {low:.1f} degrees, middle up to {high:.1f}, hard up to {by_pose['most_deg']:.1f}."
    )
