"""The lip reader of ``benchmarks/lipreading.py``: its numbers are made by hand here, no face is drawn."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "lipreading.py"


@pytest.fixture(scope="module")
def program() -> ModuleType:
    pytest.importorskip("librosa", reason="time is warped by librosa")
    import sys

    spec = importlib.util.spec_from_file_location("lipreading", PROGRAM)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["lipreading"] = module  # where its dataclasses look for their annotations
    spec.loader.exec_module(module)
    return module


def said(program: ModuleType, voice: int, words: int = 6) -> list:
    """Words that are curves of their own, as long, as large and as far from zero as the voice has them."""
    rng = np.random.default_rng(100 + voice)
    size, middle = rng.uniform(0.5, 2), rng.uniform(-3, 3)
    parts, spans, at = [], {}, 0
    for word in rng.permutation(words):
        shape = np.random.default_rng(int(word)).normal(0, 1, (4, 2))
        length = int(rng.integers(14, 22))
        # Time runs faster in one half than in the other.
        when = np.linspace(0, 1, length) ** rng.uniform(0.8, 1.25)
        waves = np.stack([np.sin(np.pi * (k + 1) * when) for k in range(4)], 1)
        parts.append(waves @ shape + rng.normal(0, 0.05, (length, 2)))
        spans[str(word)] = (at, at + length)
        at += length
    return program.Speech(np.zeros(16_000, np.float32), spans).cut(middle + size * np.concatenate(parts))


def test_words_are_read_whatever_the_voice(program: ModuleType):
    reader = program.Reader([word for voice in range(3) for word in said(program, voice)])
    places = reader.places([word for voice in range(3, 6) for word in said(program, voice)])
    assert (places == 0).mean() >= 0.9


def test_lips_that_say_nothing_are_read_by_chance(program: ModuleType):
    """A reader that told words by their length or their place would read noise of the same spans."""
    rng = np.random.default_rng(0)
    reader = program.Reader([word for voice in range(3) for word in said(program, voice)])
    noise = [
        program.Said(word.word, rng.normal(0, 1, word.lips.shape))
        for voice in range(3, 23)
        for word in said(program, voice)
    ]
    right = (reader.places(noise) == 0).mean()
    assert abs(right - 1 / 6) < 3 * np.sqrt(5 / 36 / len(noise))


def test_the_true_word_has_a_place_among_all(program: ModuleType):
    one, other = np.zeros((5, 2)), np.ones((5, 2))
    reader = program.Reader([program.Said("a", one), program.Said("b", other), program.Said("c", 3 * other)])
    assert reader.ranking(0.9 * other) == ["b", "a", "c"]
    assert reader.places([program.Said("c", 0.9 * other), program.Said("b", other)]).tolist() == [2, 0]


def test_time_may_bend_but_not_turn_back(program: ModuleType):
    rise = np.linspace(0, 1, 10)[:, None]
    slow = np.repeat(rise, 3, axis=0)
    assert program.apart(rise, slow) == pytest.approx(0, abs=1e-9)
    assert program.apart(rise, rise[::-1]) > 0.2


def test_a_mouth_is_measured_in_distances_of_the_eyes(program: ModuleType):
    mesh = np.zeros((478, 3), np.float32)
    mesh[33], mesh[263] = (-2, 0, 5), (2, 0, -5)  # depth does not count
    mesh[61], mesh[291] = (-1, 3, 0), (1, 3, 0)
    mesh[0], mesh[17] = (0, 2.5, 0), (0, 4, 0)
    mesh[2], mesh[152] = (0, 1, 0), (0, 6, 0)
    for upper, lower in ((82, 87), (13, 14), (312, 317)):
        mesh[upper], mesh[lower] = (0, 3, 0), (0, 3.4, 0)
    wanted = np.array([0.4, 2, 1.5, 5, 1.5, 3]) / 4
    assert program.measured(mesh) == pytest.approx(wanted, abs=1e-6)
    turn = np.array([[0.8, -0.6], [0.6, 0.8]], np.float32)
    moved = np.concatenate([7 * mesh[:, :2] @ turn + 20, mesh[:, 2:]], 1)
    assert program.measured(moved) == pytest.approx(wanted, abs=1e-5)


def test_every_voice_says_every_word_where_its_span_is(program: ModuleType):
    """Made of tones as long as the words: the loud frames lie inside the spans, and nothing else is loud."""
    told = []

    def say(word: str, voice: str, *pace: int) -> np.ndarray:
        told.append((word, voice, pace))
        return np.sin(np.arange(3000 + 400 * len(word)) / 5).astype(np.float32)

    speech = program.spoken(say, 3)
    assert sorted(word for word, *_ in told) == sorted(program.WORDS) == sorted(speech.spans)
    assert len({(voice, pace) for _, voice, pace in told}) == 1
    assert [word for word, *_ in told] != [word for word, *_ in told[: len(program.WORDS)][::-1]]
    loud = np.add.reduceat(np.square(speech.samples), np.arange(0, len(speech.samples), 640))[: speech.frames] > 1e-3
    inside = np.zeros(speech.frames, bool)
    for first, after in speech.spans.values():
        assert loud[first + 3 : after - 5].all()
        inside[first:after] = True
    assert not (loud & ~inside).any()
    assert abs(np.abs(speech.samples).max() - 0.5) < 1e-6
