"""What the page asks, and the key that says which model made which result."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from visavis.core.config import build
from visavis.core.errors import ConfigError, DataError

LEAST, MOST = 1, 5
_MOST_BYTES = 32_000_000


@dataclass(frozen=True)
class Score:
    """One question of the study.

    Attributes:
        name: its key in answers.
        short: column of the table, as AVFR-GAN's user study calls it.
        question: what the rater reads.
    """

    name: str
    short: str
    question: str


#: AVFR-GAN, table 2: head pose matching, expression matching and identity preservation score.
SCORES = (
    Score("head_pose", "HPMS", "Head pose: does the head of the result turn and move like the driver's?"),
    Score("expression", "EMS", "Expression: do mouth, eyes and brows of the result do what the driver's do?"),
    Score("identity", "IPS", "Identity: does the person of the result look like the person of the source?"),
)


@dataclass(frozen=True)
class Shown:
    """One result on the page.

    Attributes:
        id: what page and answers call it; says nothing of the model.
        item: which source and driver.
        model: which model made it.
    """

    id: str
    item: str
    model: str


@dataclass(frozen=True)
class Key:
    """Un-blinds a study; kept away from the raters.

    Attributes:
        study: the study's own id, carried by its page and by all answers to it.
        shown: every result on the page.
    """

    study: str
    shown: tuple[Shown, ...]

    @property
    def models(self) -> list[str]:
        """The models, in the order they were given."""
        return list(dict.fromkeys(shown.model for shown in self.shown))

    def text(self) -> str:
        """The key as JSON."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def read(cls, path: Path) -> Key:
        """Read a key; :class:`DataError` when it is none."""
        values = read_table(path)
        try:
            return build(cls, values)
        except ConfigError as error:
            raise DataError(f"{path}: is not the key of a study ({error})") from error


def read_table(path: Path) -> dict[str, Any]:
    """Read a JSON object that somebody sent; :class:`DataError` in one line when it is none."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise DataError(f"{path}: is too large to be of a study")
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: cannot be read as JSON") from error
    if not isinstance(values, dict):
        raise DataError(f"{path}: must hold one JSON object")
    return values
