"""Settings: TOML to frozen dataclasses; what a dataclass does not know is an error, never ignored."""

from __future__ import annotations

import sys
import types
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from visavis.core.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

T = TypeVar("T")
_MOST_TOML_BYTES = 1 << 20
_MOST_SHOWN = 200


def build(cls: type[T], values: Mapping[str, Any], where: str = "") -> T:
    """Build the dataclass ``cls`` from plain values, nested dataclasses included.

    Raises:
        ConfigError: a key that ``cls`` does not have, a value of the wrong type, or a missing value.
    """
    known = {field.name for field in fields(cls)}  # type: ignore[arg-type]
    hints = get_type_hints(cls)
    for key in values:
        if key not in known:
            raise ConfigError(f"unknown setting '{where}{key}'; known are: {', '.join(sorted(known))}")
    try:
        return cls(**{key: _convert(hints[key], value, f"{where}{key}") for key, value in values.items()})
    except TypeError as error:
        raise ConfigError(f"settings of {cls.__name__} are incomplete: {error}") from error


def _convert(hint: Any, value: Any, where: str) -> Any:
    if is_dataclass(hint) and isinstance(hint, type):
        if not isinstance(value, Mapping):
            raise ConfigError(f"'{where}' must be a table of settings")
        return build(hint, value, f"{where}.")
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in get_args(hint):
            return None
        return _convert(next(a for a in get_args(hint) if a is not type(None)), value, where)
    if origin is Literal:
        if value not in get_args(hint):
            raise ConfigError(f"'{where}' must be one of {', '.join(map(str, get_args(hint)))}, not {_shown(value)}")
        return value
    if origin is tuple:
        arguments = get_args(hint)
        if not isinstance(value, (list, tuple)) or (Ellipsis not in arguments and len(value) != len(arguments)):
            raise ConfigError(f"'{where}' must be a list of {len(arguments)} values, not {_shown(value)}")
        return tuple(_convert(arguments[0], item, where) for item in value)
    if hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        # TOML and Python have nan and inf, and no setting is one: a run would find out hours later.
        # Integers may be larger than any float, which math.isfinite does not take; comparing them is exact.
        if value != value or abs(value) > sys.float_info.max:
            raise ConfigError(f"'{where}' must be a finite number, not {_shown(value)}")
        return float(value)
    if isinstance(hint, type) and (not isinstance(value, hint) or (hint is int and isinstance(value, bool))):
        raise ConfigError(f"'{where}' must be of type {hint.__name__}, not {_shown(value)}")
    return value


def _shown(value: Any) -> str:
    """A value as messages show it; of a long or deep one the start."""
    try:
        return repr(value)[:_MOST_SHOWN]
    except (RecursionError, ValueError):  # too deep, or an integer of too many digits
        return f"this {type(value).__name__}"


def check_ranges(settings: Any, ranges: Mapping[str, tuple[float, float]]) -> None:
    """Refuse numbers out of range, also inside a tuple; ``ranges`` holds the least and most by a setting's name.

    Settings come from checkpoints too, and those from anywhere: what no network can have, or what would fill the memory
    before anybody notices, is an error in one line. NaN lies in no range.
    """
    for name, (least, most) in ranges.items():
        value = getattr(settings, name)
        if not all(least <= number <= most for number in (value if isinstance(value, tuple) else (value,))):
            raise ConfigError(f"'{name}' must be from {least} to {most}, not {value}")


#: Of one layer's output for one picture, 256 MiB in float32: what a network of 64 channels needs at 1024x1024.
MOST_VALUES = 1 << 26


def check_volume(size: int, channels: Mapping[int, int]) -> None:
    """Refuse a network whose layers would fill the memory, which its weights do not show: they may be few.

    Args:
        size: side of the pictures.
        channels: the most that any layer puts out, by the fold at which it works: 1 for the full side, 4 for a quarter.
    """
    for fold, count in channels.items():
        values = count * (size // fold) ** 2
        if values > MOST_VALUES:
            raise ConfigError(
                f"'size' {size} is too large for {count} channels at {size // fold}x{size // fold}: that makes "
                f"{values:,} values, and a layer may put out {MOST_VALUES:,}"
            )


def load_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file; :class:`ConfigError` says what is wrong with it."""
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_TOML_BYTES + 1)
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read as TOML ({error})") from error
    if len(data) > _MOST_TOML_BYTES:
        raise ConfigError(f"{path}: is too large for settings; at most {_MOST_TOML_BYTES >> 20} MB are read")
    try:
        # Editors of one system begin files with a byte order mark.
        return _toml(data.decode("utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as TOML ({error})") from error


def _toml(text: str) -> dict[str, Any]:
    """Parse TOML; whatever the parser cannot do, it says by one kind of error."""
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise tomllib.TOMLDecodeError("nested too deeply") from None
    except tomllib.TOMLDecodeError:
        raise
    except ValueError as error:  # a number of thousands of digits, a day that no calendar has
        raise tomllib.TOMLDecodeError(str(error)) from None


def override(values: dict[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """Apply ``key.sub=value`` settings to plain values; the value is TOML, or a bare string."""
    for setting in settings:
        key, found, text = setting.partition("=")
        if not found or not key:
            raise ConfigError(f"'{setting}' is not of the form key=value")
        try:
            value = _toml(f"v = {text}")["v"]
        except tomllib.TOMLDecodeError:
            value = text
        table = values
        *parents, last = key.split(".")
        for parent in parents:
            table = table.setdefault(parent, {})
            if not isinstance(table, dict):
                raise ConfigError(f"'{key}': '{parent}' is not a table of settings")
        table[last] = value
    return values
