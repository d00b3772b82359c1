"""How much of the driver's movement counts, region by region, and changes by hand on top of it. No torch."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TypeVar

from visavis.core.errors import ConfigError

_MOST = 3.0
_T = TypeVar("_T", "Amounts", "Edits")


@dataclass(frozen=True, slots=True)
class Amounts:
    """Multipliers of the driver's movement, 0 to 3; 1 leaves it as it is, 0 takes it away.

    Attributes:
        head: turn, shift and change of size of the head, from the source's own.
        expression: all that the face does, from its rest; the others come on top.
        lips: how far the mouth opens and moves.
        eyes: how far lids go from their usual opening, either way.
        brows: how far brows rise and sink.
        blink: how far lids close; how they open wide is left alone.
    """

    head: float = 1.0
    expression: float = 1.0
    lips: float = 1.0
    eyes: float = 1.0
    brows: float = 1.0
    blink: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what is out of range."""
        for name, value in _items(self):
            if not 0 <= value <= _MOST:
                raise ConfigError(f"amount {name}={value:g}: choose 0 to {_MOST:g}; 1 is as the driver moves")

    @classmethod
    def parse(cls, text: str) -> Amounts:
        """Read ``head=0.7,lips=1.2``; an empty text changes nothing."""
        return _parsed(cls, text, "amount")

    @property
    def of_face(self) -> bool:
        """Whether any part of the face is to move by another amount."""
        return any(value != 1 for name, value in _items(self) if name != "head")

    def __bool__(self) -> bool:
        """Whether anything is to move by another amount."""
        return self.head != 1 or self.of_face


@dataclass(frozen=True, slots=True)
class Edits:
    """Changes by hand, of every frame.

    Attributes:
        yaw, pitch, roll: degrees to turn the head by, -45 to 45, with the signs of
            :class:`visavis.face.pose.HeadAngles`.
        mouth: 1 opens the mouth as far as mouths open in speech, -1 closes it by as much.
        smile: 1 smiles as widely as people do, -1 draws the mouth in as far.
        blink: 1 shuts the eyes, whatever they do; 0.5 half shuts them.
    """

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    mouth: float = 0.0
    smile: float = 0.0
    blink: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what is out of range."""
        for name, value in _items(self):
            low, high = {"mouth": (-1, 1), "smile": (-1, 1), "blink": (0, 1)}.get(name, (-45, 45))
            if not low <= value <= high:
                raise ConfigError(f"edit {name}={value:g}: choose {low} to {high}")

    @classmethod
    def parse(cls, text: str) -> Edits:
        """Read ``yaw=+10,mouth=0.5``; an empty text changes nothing."""
        return _parsed(cls, text, "edit")

    @property
    def of_face(self) -> bool:
        """Whether they change more than the head's turn."""
        return any((self.mouth, self.smile, self.blink))

    @property
    def turns(self) -> bool:
        """Whether they turn the head."""
        return any((self.yaw, self.pitch, self.roll))

    def __bool__(self) -> bool:
        """Whether they change anything."""
        return self.turns or self.of_face


def _items(values: Amounts | Edits) -> list[tuple[str, float]]:
    return [(field.name, float(getattr(values, field.name))) for field in fields(values)]


def _parsed(cls: type[_T], text: str, what: str) -> _T:
    known = [field.name for field in fields(cls)]
    found: dict[str, float] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        name, _, value = (part.strip() for part in item.partition("="))
        if name not in known:
            raise ConfigError(f"--{what} {item[:40]}: choose {', '.join(known)}, each as NAME=NUMBER")
        try:
            found[name] = float(value)
        except ValueError:
            raise ConfigError(f"--{what} {item[:40]}: give a number after {name}=") from None
        if not math.isfinite(found[name]):
            raise ConfigError(f"--{what} {item[:40]}: give a finite number")
    return cls(**found)


UNCHANGED, UNEDITED = Amounts(), Edits()
