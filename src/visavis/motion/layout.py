"""How a motion lies in a plain vector: named parts, each with its shape, unit and natural scale. No torch.

The hinge between analysis and rendering carries one vector a frame. Who needs a part of it (a renderer, a codec, a
transfer between people, an edit by hand) asks the layout by name; who does not, as a codec, sees numbers alone.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

#: Of a value in [-1, 1] over the crop: one pixel of 256.
PIXEL = 1 / 128


@dataclass(frozen=True, slots=True)
class Part:
    """A run of values that mean one thing.

    Attributes:
        name: as others ask for it: ``keypoints``, ``jacobians``, ``camera``, ``shape``, ``identity``, ``expression``.
        shape: of the part when it is taken out.
        unit: what a value is counted in: ``crop`` ([-1, 1] over the crop), ``ratio``, ``coefficient``, ``mixed``.
        scale: by how much a value changes where the picture changes by about one pixel of 256; above 0.
        held: whether it belongs to the person and stays the same from frame to frame, so that a call need not send it.
    """

    name: str
    shape: tuple[int, ...]
    unit: str
    scale: float
    held: bool = False

    @property
    def size(self) -> int:
        """How many values it has."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class Layout:
    """The parts of a motion vector, in order.

    Attributes:
        kind: what sort of motion it is: ``keypoints``, ``morphable`` or ``landmarks``.
        parts: with names that differ.
    """

    kind: str
    parts: tuple[Part, ...]

    @property
    def size(self) -> int:
        """Length D of the vector."""
        return sum(part.size for part in self.parts)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the parts, in order."""
        return tuple(part.name for part in self.parts)

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def part(self, name: str) -> Part:
        """A part by its name; KeyError if there is none."""
        for part in self.parts:
            if part.name == name:
                return part
        raise KeyError(f"a motion of kind '{self.kind}' has no part '{name}'; it has {', '.join(self.names)}")

    def where(self, name: str) -> slice:
        """Where a part lies in the vector."""
        found, start = self.part(name), 0
        for part in self.parts:
            if part is found:
                break
            start += part.size
        return slice(start, start + found.size)

    def of(self, vectors: Array, name: str) -> Array:
        """A part of vectors ``[..., D]``, as a view of shape ``[..., *part.shape]``."""
        return vectors[..., self.where(name)].reshape(*vectors.shape[:-1], *self.part(name).shape)

    @property
    def scales(self) -> Array:
        """The natural scale of each value, ``float32 [D]``."""
        return np.concatenate([np.full(part.size, part.scale, np.float32) for part in self.parts])

    @property
    def held(self) -> NDArray[np.bool_]:
        """Which values belong to the person alone, ``bool [D]``."""
        return np.concatenate([np.full(part.size, part.held) for part in self.parts])

    @property
    def identity(self) -> bytes:
        """The 8 bytes by which a stream names its layout; scales do not count, since tables tell them."""
        lines = [self.kind, *(f"{part.name} {part.shape} {part.unit} {part.held}" for part in self.parts)]
        return hashlib.sha256("\n".join(lines).encode()).digest()[:8]


@dataclass(frozen=True, slots=True)
class Motion:
    """The motion of one frame.

    Attributes:
        vector: ``float32 [D]``, not to be written to.
        layout: what its values are.

    Raises:
        ValueError: the vector has another length than the layout.
    """

    vector: Array
    layout: Layout

    def __post_init__(self) -> None:
        if self.vector.shape != (self.layout.size,):
            raise ValueError(f"a motion of this layout has {self.layout.size} values, got shape {self.vector.shape}")

    @classmethod
    def of(cls, layout: Layout, **parts: Any) -> Motion:
        """Put all parts together, each an array of its shape or flat.

        Raises:
            ValueError: a part is missing, unknown or of another size.
        """
        if set(parts) != set(layout.names):
            raise ValueError(f"a motion of this layout has the parts {', '.join(layout.names)}; got {', '.join(parts)}")
        return cls(np.zeros(layout.size, np.float32), layout).with_parts(**parts)

    def __getitem__(self, name: str) -> Array:
        """A part, as a view of its shape."""
        return self.layout.of(self.vector, name)

    def __contains__(self, name: str) -> bool:
        return name in self.layout

    def held_as(self, person: Motion) -> Motion:
        """The same motion with the parts that belong to the person taken from another motion of that layout."""
        held = self.layout.held
        return Motion(np.where(held, person.vector, self.vector), self.layout) if held.any() else self

    def with_parts(self, **parts: Any) -> Motion:
        """The same motion with other values of some parts.

        Raises:
            KeyError: no such part.
            ValueError: a part of another size.
        """
        vector = self.vector.copy()
        for name, values in parts.items():
            vector[self.layout.where(name)] = np.asarray(values, np.float32).reshape(self.layout.part(name).size)
        return Motion(vector, self.layout)
