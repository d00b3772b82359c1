"""JSON of unknown origin: small, shallow, every key once, and numbers that are numbers."""

from __future__ import annotations

import json
from typing import Any, NoReturn

MOST_BYTES = 4 << 20
_DEEPEST = 32


def loads(data: bytes | str, most_bytes: int = MOST_BYTES) -> Any:
    """Read JSON.

    Raises:
        ValueError: it is damaged, longer than ``most_bytes``, nested too deeply, names a key twice, or holds NaN or
            an infinite number.
    """
    if len(data) > most_bytes:
        raise ValueError(f"{len(data):,} bytes of JSON are too many; at most {most_bytes:,} are read")
    try:
        values = json.loads(data, object_pairs_hook=_table, parse_constant=_refuse, parse_float=_finite)
    except RecursionError:
        raise ValueError(f"JSON is nested more than {_DEEPEST} deep") from None
    _check_depth(values)
    return values


def _table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for key, value in pairs:
        if key in table:
            raise ValueError(f"JSON names {key[:80]!r} twice")
        table[key] = value
    return table


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"JSON holds {constant}, which is no number")


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"JSON holds {text[:80]}, which is too large")
    return value


def _check_depth(values: Any) -> None:
    """Refuse what could be read but not be written again: writing goes down as deep, from wherever it is called."""
    level = [values]
    for _ in range(_DEEPEST):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer if isinstance(outer, list) else ())
        ]
        if not level:
            return
    raise ValueError(f"JSON is nested more than {_DEEPEST} deep")
