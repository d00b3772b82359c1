"""What is in a weights file, or what a named configuration would be: shape, story, and cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from visavis.core.errors import WeightsError
from visavis.core.registry import generator_class, named_config
from visavis.face.types import MESH_POINTS, Observation
from visavis.nn.cost import Cost, count
from visavis.weights.checkpoint import load, load_into, sha256
from visavis.weights.store import resolve


@dataclass(frozen=True)
class Inspection:
    """One answer of ``visavis inspect``.

    Attributes:
        name: as it was asked for.
        path: the weights file; None for a configuration without weights.
        bytes: size of the file.
        sha256: its hash.
        family: which generator.
        config: the network's shape.
        meta: licence, training data and the like, as the checkpoint tells.
        parameters: learned values in all.
        parts: per part its ``parameters``, ``gmac_per_source`` (once a person) and ``gmac_per_frame``.
        gmac_per_source, gmac_per_frame: sums over the parts.
    """

    name: str
    path: str | None
    bytes: int | None
    sha256: str | None
    family: str
    config: dict[str, Any]
    meta: dict[str, Any]
    parameters: int
    parts: dict[str, dict[str, float]]
    gmac_per_source: float
    gmac_per_frame: float

    def as_json(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self)


def inspect(name_or_path: str) -> Inspection:
    """Inspect weights by path or name, or a named configuration that has no weights here.

    Raises:
        WeightsError: neither weights nor a configuration, or damaged weights.
    """
    configuration = named_config(name_or_path)
    try:
        path = resolve(name_or_path)
    except WeightsError:
        if configuration is None or Path(name_or_path).exists():
            raise
        family, config = configuration
        return _inspection(name_or_path, None, family, config, {}, generator_class(family).from_config(config))
    checkpoint = load(path)
    generator = generator_class(checkpoint.family).from_config(checkpoint.config)
    # Keys that do not match are worth knowing here, not when the weights are first used.
    load_into(generator.network, checkpoint, path)
    return _inspection(name_or_path, path, checkpoint.family, checkpoint.config, checkpoint.meta, generator)


def _inspection(
    name: str, path: Path | None, family: str, config: Mapping[str, Any], meta: Mapping[str, Any], generator: Any
) -> Inspection:
    _give_a_face(generator)
    per_source, per_frame = cost(generator)
    parts = {
        part: {
            "parameters": per_source[part].params,
            "gmac_per_source": round(per_source[part].macs / 1e9, 4),
            "gmac_per_frame": round(per_frame[part].macs / 1e9, 4),
        }
        for part in per_source
    }
    return Inspection(
        name=name,
        path=None if path is None else str(path),
        bytes=None if path is None else path.stat().st_size,
        sha256=None if path is None else sha256(path),
        family=family,
        config=dict(config),
        meta=dict(meta),
        parameters=sum(parameter.numel() for parameter in generator.network.parameters()),
        parts=parts,
        gmac_per_source=round(sum(part.macs for part in per_source.values()) / 1e9, 4),
        gmac_per_frame=round(sum(part.macs for part in per_frame.values()) / 1e9, 4),
    )


def cost(generator: Any) -> tuple[dict[str, Cost], dict[str, Cost]]:
    """Cost by part: of preparing a person (once), and of one driving frame (analysing and rendering)."""
    observed = blank_observation(generator.size)
    person = motion = None

    def prepare() -> None:
        nonlocal person
        person = generator.prepare([observed])

    def frame() -> None:
        nonlocal motion
        motion = generator.analyse(observed)
        generator.render(person, motion, observed.mel)

    return count(generator.network, prepare), count(generator.network, frame)


def blank_observation(size: int) -> Observation:
    """An observation with every prior, of a sphere on grey: enough to run a network, no face in it."""
    return Observation(
        picture=np.full((size, size, 3), 128, np.uint8),
        time=Fraction(0),
        mesh=_sphere(),
        segmentation=np.full((size, size), 255, np.uint8),
        mel=np.zeros((80, 20), np.float32),
    )


def _sphere() -> np.ndarray[Any, np.dtype[np.float32]]:
    """Points spread evenly over a sphere (a golden spiral), so that no spline through them is singular."""
    at = (np.arange(MESH_POINTS) + 0.5) / MESH_POINTS
    height, turn = 1 - 2 * at, np.pi * (1 + 5**0.5) * np.arange(MESH_POINTS)
    round_ = np.sqrt(1 - height * height)
    return np.asarray(0.5 * np.stack([round_ * np.cos(turn), height, round_ * np.sin(turn)], 1), np.float32)


def _give_a_face(generator: Any) -> None:
    """A configuration without weights has an empty face model, through which no warp can be drawn: lend it the sphere."""
    model = getattr(generator.network, "mesh_model", None)
    if model is None or bool(model.mean.any()):
        generator.refresh()
        return
    import torch

    with torch.no_grad():
        model.mean.copy_(torch.from_numpy(_sphere()))
    generator.refresh()
