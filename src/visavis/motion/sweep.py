"""From one set of edits to another: what a still picture goes through. No torch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from fractions import Fraction

from visavis.core.errors import ConfigError
from visavis.motion.amounts import UNEDITED, Edits

_RANGE = ".."


@dataclass(frozen=True, slots=True)
class Sweep:
    """Edits that go from a first to a last; the same twice where none of them is a range.

    Attributes:
        first, last: the edits at both ends.
        named: the edits that were told, in that order.
    """

    first: Edits
    last: Edits
    named: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Sweep:
        """Read ``yaw=-45..45,mouth=0.4``: what is no range stays as it is.

        Raises:
            ConfigError: nothing is told, a name is unknown, or a value is no number or out of range.
        """
        ends: tuple[list[str], list[str]] = [], []
        named: list[str] = []
        for item in filter(None, (part.strip() for part in text.split(","))):
            name, equals, value = item.partition("=")
            begin, dots, end = value.partition(_RANGE)
            ends[0].append(f"{name}{equals}{begin}")
            ends[1].append(f"{name}{equals}{end if dots else begin}")
            named.append(name.strip())
        if not named:
            known = ", ".join(field.name for field in fields(Edits))
            raise ConfigError(f"--edit: says nothing to change; choose {known}, as yaw=+15,mouth=0.4 or yaw=-45..45")
        first, last = (Edits.parse(",".join(end)) for end in ends)
        return cls(first, last, tuple(dict.fromkeys(named)))

    @property
    def moves(self) -> bool:
        """Whether any of them is a range."""
        return self.first != self.last

    def at(self, share: float) -> Edits:
        """The edits at a share of the way, 0 to 1."""
        pairs = ((name, getattr(self.first, name), getattr(self.last, name)) for name in self.named)
        return Edits(**{name: (1 - share) * first + share * last for name, first, last in pairs})

    def steps(self, count: int) -> list[Edits]:
        """Evenly spread edits from the first to the last, ``count`` of them, at least 2."""
        return [self.at(step / (count - 1)) for step in range(count)]

    def there_and_back(self, seconds: float, fps: int) -> Iterator[tuple[Fraction, Edits]]:
        """Times and edits of a video that goes to the last and back to where it began, gently at both ends.

        Where none is a range it begins with the picture as it is.
        """
        way = self if self.moves else Sweep(UNEDITED, self.last, self.named)
        count = max(round(seconds * fps), 2)
        for number in range(count):
            share = (1 - math.cos(2 * math.pi * number / (count - 1))) / 2
            yield Fraction(number, fps), way.at(share)

    def label(self, edits: Edits, turned: Mapping[str, float]) -> str:
        """What changes from step to step, as ``yaw -15``; several are joined.

        Args:
            edits: of the step.
            turned: degrees by which the head turns in truth; where that is less, both are told, as ``yaw -45 (-33)``.
        """
        moving = [name for name in self.named if getattr(self.first, name) != getattr(self.last, name)]
        return ", ".join(_told(name, getattr(edits, name), turned.get(name)) for name in moving or self.named)

    def as_json(self) -> dict[str, float | list[float]]:
        """Plain values: a number, or both ends of a range, by name."""
        pairs = ((name, getattr(self.first, name), getattr(self.last, name)) for name in self.named)
        return {name: first if first == last else [first, last] for name, first, last in pairs}


def _told(name: str, value: float, turned: float | None) -> str:
    told = f"{name} {round(value, 2) + 0.0:g}"
    return told if turned is None or abs(turned - value) < 1 else f"{told} ({turned:.0f})"
