"""The models that are measured: weights under a label, and built-in ones."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from visavis.core.errors import ConfigError
from visavis.evaluation.ablated import Ablated, parts_of
from visavis.evaluation.baselines import BUILT_IN
from visavis.face.types import Observation
from visavis.generators.base import Generator
from visavis.media.frame import Pixels
from visavis.motion.kind import Mode
from visavis.nn.engine import Engine
from visavis.pipelines.load import load_generator
from visavis.pipelines.look_ahead import LookAhead
from visavis.pipelines.reenact import Reenactor
from visavis.pipelines.render import SoundAt


@dataclass(frozen=True)
class ModelName:
    """A row of the report.

    Attributes:
        label: what the row is called.
        name: a built-in model, or name or path of weights, with what they do without (``NAME:deaf``).
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


def load_model(model: ModelName, engine: Engine) -> Generator | None:
    """Load weights; None for a built-in model.

    Raises:
        ConfigError: what a model shall do without is not in it.
        WeightsError: they cannot be loaded.
    """
    name, ways = parts_of(model.name)
    if name in BUILT_IN:
        if ways:
            raise ConfigError(f"--model {model.name}: {name} is built in, nothing can be taken away from it")
        return None
    generator = load_generator(name, engine)
    return Ablated(generator, ways) if ways else generator


class Rendering(ABC):
    """One model that animates one source by one clip, frame by frame in order of time.

    Attributes:
        follows: whether what it makes of a frame depends on the frames before it.
    """

    follows: bool = False

    @abstractmethod
    def picture(self, driving: Observation | None, time: Fraction) -> Pixels:
        """The picture of the next frame, of the size of the source's; None is a frame without a face."""

    @abstractmethod
    def skip(self, driving: Observation | None) -> None:
        """Let a frame pass whose picture is not measured."""


class BuiltIn(Rendering):
    """A model without weights.

    Args:
        name: which.
        source: the person.
    """

    def __init__(self, name: str, source: Observation) -> None:
        self._make, self._source, self._last = BUILT_IN[name], source, source

    def picture(self, driving: Observation | None, time: Fraction) -> Pixels:
        """A frame without a face repeats what is known of the last."""
        self._last = driving or self._last
        return self._make(self._source, self._last)

    def skip(self, driving: Observation | None) -> None:
        """Nothing follows from it."""


class Network(Rendering):
    """Weights, by the same way as ``visavis reenact``.

    Args:
        generator: of the weights.
        source: the person.
        ahead: what the clip's beginning tells.
        mode: relative motion, or None where the driver is the source in the same crop: its motion is rendered as it is.
        sound_at: the clip's sound, as the generator hears it.
    """

    def __init__(
        self, generator: Generator, source: Observation, ahead: LookAhead, mode: Mode | None, sound_at: SoundAt | None
    ) -> None:
        self._size, self._side = generator.size, source.picture.shape[0]
        self.follows = mode is not None or generator.memory > 0
        start = sized(ahead.start, self._size)
        self._reenactor = Reenactor(generator, sized(source, self._size), start=start, ahead=ahead.meshes, mode=mode)
        self._reenactor.hear(sound_at)

    def picture(self, driving: Observation | None, time: Fraction) -> Pixels:
        """What reenact would write."""
        seen = None if driving is None else sized(driving, self._size)
        return resized(self._reenactor.picture(seen, time), self._side)

    def skip(self, driving: Observation | None) -> None:
        """The driver is followed all the same."""
        self._reenactor.skip(None if driving is None else sized(driving, self._size))


def sized(observation: Observation, size: int) -> Observation:
    """An observation for a network of another size; its mesh is in [-1, 1] and stays."""
    mask = observation.segmentation
    return replace(
        observation,
        picture=resized(observation.picture, size),
        segmentation=None if mask is None else resized(mask, size),
    )


def resized(picture: Pixels, size: int) -> Pixels:
    """A picture with another side."""
    if picture.shape[0] == size:
        return picture
    how = cv2.INTER_AREA if picture.shape[0] > size else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, (size, size), interpolation=how), np.uint8)
