"""core: settings, registry, folders."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from visavis.core.config import build, load_toml, override
from visavis.core.errors import ConfigError, VisavisError, WeightsError
from visavis.core.paths import cache_folder
from visavis.core.registry import FAMILIES, generator_class


@dataclass(frozen=True)
class Inner:
    rate: float = 0.5
    widths: tuple[int, int] = (1, 2)


@dataclass(frozen=True)
class Outer:
    steps: int
    name: str = "a"
    kind: Literal["x", "y"] = "x"
    seed: int | None = None
    deep: bool = False
    inner: Inner = field(default_factory=Inner)


def test_plain_values_become_a_nested_dataclass():
    made = build(Outer, {"steps": 3, "inner": {"rate": 1, "widths": [4, 5]}, "kind": "y", "seed": None})
    assert made == Outer(3, kind="y", inner=Inner(1.0, (4, 5)))
    assert isinstance(made.inner.rate, float)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"steps": 1, "stepz": 2}, "stepz"),
        ({"steps": 1, "inner": {"ratee": 2}}, "inner.ratee"),
        ({"steps": "1"}, "steps"),
        ({"steps": True}, "steps"),
        ({"steps": 1.5}, "steps"),
        ({"steps": 1, "deep": 1}, "deep"),
        ({"steps": 1, "kind": "z"}, "x, y"),
        ({"steps": 1, "inner": 3}, "inner"),
        ({"steps": 1, "inner": {"widths": [1]}}, "inner.widths"),
        ({"steps": 1, "inner": {"widths": [1, "2"]}}, "inner.widths"),
        ({"steps": 1, "seed": "s"}, "seed"),
        ({}, "steps"),
    ],
)
def test_what_a_dataclass_does_not_know_is_refused_by_name(values, says):
    with pytest.raises(ConfigError, match=says.replace(".", r"\.")):
        build(Outer, values)


def test_overrides_are_toml_or_bare_words():
    values = override({"inner": {"rate": 1}}, ["inner.rate=0.25", "name=plain words", "steps=7", "inner.widths=[8, 9]"])
    assert build(Outer, values) == Outer(7, "plain words", inner=Inner(0.25, (8, 9)))


@pytest.mark.parametrize("setting", ["steps", "=3", "steps.deeper=1"])
def test_an_override_that_is_none_is_refused(setting):
    with pytest.raises(ConfigError):
        override({"steps": 1}, [setting])


def test_toml_that_cannot_be_read_is_said_in_one_line(tmp_path: Path):
    bad = tmp_path / "bad.toml"
    bad.write_bytes(b"steps = \xff")
    for path in (tmp_path / "none.toml", tmp_path, bad):
        with pytest.raises(ConfigError) as error:
            load_toml(path)
        assert str(path) in str(error.value)
        assert "\n" not in str(error.value)


def test_every_family_has_a_generator():
    for family in FAMILIES:
        assert generator_class(family).family == family


def test_an_unknown_family_says_which_are_known():
    with pytest.raises(WeightsError, match="avfr, headgan, keypoint, rhythmic"):
        generator_class("pickle")


def test_errors_are_one_tree():
    assert issubclass(ConfigError, VisavisError)
    assert issubclass(WeightsError, VisavisError)


def test_the_cache_is_where_the_desktop_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "visavis"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "visavis"
