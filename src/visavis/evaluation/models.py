"""The models that are measured: weights under a label, and built-in ones."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from visavis.core.errors import ConfigError
from visavis.evaluation.baselines import BUILT_IN
from visavis.face.types import Observation
from visavis.generators.base import Generator, Prior
from visavis.media.frame import Pixels
from visavis.motion.transfer import Mode, Transfer, pose_distance
from visavis.pipelines.load import load_generator
from visavis.pipelines.reenact import to_pixels

Render = Callable[[Observation], Pixels]


@dataclass(frozen=True)
class ModelName:
    """A row of the report.

    Attributes:
        label: what the row is called.
        name: a built-in model, or name or path of weights.
    """

    label: str
    name: str

    @classmethod
    def parse(cls, text: str) -> ModelName:
        """Read ``NAME``, ``PATH`` or ``LABEL=NAME-OR-PATH``; a file that has such a name goes first."""
        label, found, name = text.partition("=")
        if not found or os.path.isfile(text):
            return cls(text, text)
        if not label or not name:
            raise ConfigError(f"--model {text}: give a name, a path, or label=name")
        return cls(label.strip(), name.strip())


def runs_in(folder: Path) -> list[str]:
    """Every training run in a folder as ``LABEL=PATH``, in the order of their folders' names; the label is that name.

    Raises:
        ConfigError: there is none.
    """
    runs = sorted(folder.glob("*/weights.safetensors"))
    if not runs:
        raise ConfigError(f"{folder}: no folder in it has weights.safetensors")
    return [f"{run.parent.name}={run}" for run in runs]


def parse_models(texts: Sequence[str]) -> list[ModelName]:
    """Read all rows; labels must differ."""
    models = [ModelName.parse(text) for text in texts]
    labels = [model.label for model in models]
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise ConfigError(f"--model: '{twice[0]}' is given twice; tell them apart as label=name")
    return models


def load_model(model: ModelName, device: str) -> Generator | None:
    """Load weights; None for a built-in model."""
    return None if model.name in BUILT_IN else load_generator(model.name, device=device, precision="fp32")


def renderer(
    model: ModelName, generator: Generator | None, source: Observation, ahead: Sequence[Observation], mode: Mode
) -> Render:
    """How one model renders driving observations for one source.

    Args:
        model: which.
        generator: its network, None for a built-in model.
        source: the person.
        ahead: what was read of the driving clip, at least one frame. Relative motion starts from the one whose pose
            is nearest the source's, and learns the driver's range from all, as ``visavis reenact`` does.
        mode: relative motion, or absolute: here the driving motion as it is, since the person is the same and
            so is the crop.
    """
    if generator is None:
        built_in = BUILT_IN[model.name]
        return lambda driving: built_in(source, driving)
    loaded = generator
    source, start = _sized(source, loaded.size), _sized(_nearest(source, ahead), loaded.size)
    person = loaded.prepare([source])
    carry = Transfer(loaded.analyse(source), loaded.analyse(start), mode)
    if mode is Mode.RELATIVE:
        meshes = [one.mesh for one in ahead if one.mesh is not None]
        carry = Transfer(carry.source, carry.start, mode, face=loaded.face_model, ahead=meshes)

    def render(driving: Observation) -> Pixels:
        sound = driving.mel if Prior.MEL in loaded.needs else None
        made = to_pixels(loaded.render(person, carry(loaded.analyse(_sized(driving, loaded.size))), sound))
        return _resized(made, driving.picture.shape[0])

    return render


def _nearest(source: Observation, ahead: Sequence[Observation]) -> Observation:
    """The observation whose pose is nearest the source's."""

    def distance(one: Observation) -> float:
        return np.inf if one.mesh is None or source.mesh is None else pose_distance(source.mesh, one.mesh)

    return min(ahead, key=distance)


def _sized(observation: Observation, size: int) -> Observation:
    """An observation for a network of another size; its mesh is in [-1, 1] and stays."""
    mask = observation.segmentation
    return replace(
        observation,
        picture=_resized(observation.picture, size),
        segmentation=None if mask is None else _resized(mask, size),
    )


def _resized(picture: Pixels, size: int) -> Pixels:
    if picture.shape[0] == size:
        return picture
    how = cv2.INTER_AREA if picture.shape[0] > size else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, (size, size), interpolation=how), np.uint8)
