"""Speech to learn from: what is kept for validation is never heard in training, and the same seed says the same."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from itertools import islice
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from visavis.audio.characters import CHARACTERS, best_path, edit_distance, parts_needed
from visavis.audio.recogniser import CharacterRecogniser
from visavis.data.spoken import Utterance, expanded
from visavis.media.reader import SoundReader
from visavis.weights.store import packaged

TOOL = Path(__file__).parents[2] / "tools/synthesise_speech.py"


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    pytest.importorskip("espeakng_loader")
    spec = importlib.util.spec_from_file_location("synthesise_speech", TOOL)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where its dataclasses look for their annotations
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def said(tool: ModuleType) -> list[Utterance]:
    return list(islice(tool.utterances(1e9, 0), 150))


def test_the_same_seed_says_the_same(tool: ModuleType, said: list[Utterance]):
    again = list(islice(tool.utterances(1e9, 0), 5))
    assert [utterance.text for utterance in again] == [utterance.text for utterance in said[:5]]
    assert tool.Espeak().rate_hz == 22_050
    other = next(iter(tool.utterances(1e9, 1)))
    assert other.text != said[0].text


def test_voices_and_words_of_validation_are_not_heard_in_training(tool: ModuleType, said: list[Utterance]):
    splits = {split: [u for u in said if u.split == split] for split in ("train", "val")}
    variants = {split: {u.voice.partition("+")[2] for u in of} for split, of in splits.items()}
    assert len(splits["val"]) >= 5 and not variants["train"] & variants["val"]
    for language in ("en", "pt", "es", "it", "de"):
        words = tool.Words.of(language)
        assert not set(words.train) & set(words.val)
        assert 0.04 < len(words.val) / len(words.train + words.val) < 0.2


def test_what_is_said_can_be_learned(said: list[Utterance]):
    for utterance in said:
        assert set(utterance.text) <= set(CHARACTERS)
        seconds = len(utterance.sound) / 16_000
        assert 1 <= seconds <= 3.5 and parts_needed(utterance.text) < 25 * seconds
        samples = expanded(utterance.sound)
        assert np.abs(samples).max() == pytest.approx(0.5, abs=0.02)


def test_a_slower_voice_takes_longer_and_a_higher_one_is_higher(tool: ModuleType):
    espeak = tool.Espeak()
    slow, fast = (espeak.say("some words to say", "gmw/en-US", pace, 50, 50) for pace in (110, 200))
    assert len(slow) > 1.3 * len(fast)

    def pitch(samples: np.ndarray) -> float:
        """Of the strongest self-likeness between 60 and 400 Hz, of the loudest tenth of a second."""
        at = int(np.convolve(np.square(samples), np.ones(1600), "valid").argmax())
        piece = samples[at : at + 1600]
        likeness = np.correlate(piece, piece, "full")[1599:]
        return 16_000 / (40 + int(likeness[40:267].argmax()))

    low, high = (pitch(espeak.say("moon moon moon", "gmw/en-US", 150, value, 0)) for value in (10, 90))
    assert high > 1.2 * low


@pytest.mark.skipif("characters-16" not in packaged(), reason="the recogniser is not packaged")
def test_the_packaged_recogniser_hears_words_of_voices_that_it_never_heard(said: list[Utterance]):
    """Held well above its card's error, since these are few."""
    recogniser = CharacterRecogniser.load()
    wrong = length = 0
    for utterance in (u for u in said if u.split == "val"):
        samples = np.pad(expanded(utterance.sound), recogniser.reach_samples + 640)
        logits = recogniser.logits(samples)
        classes = np.where(logits.max(1) > 0, logits.argmax(1), len(CHARACTERS))
        wrong += edit_distance(best_path(classes.tolist()).strip(), utterance.text)
        length += len(utterance.text)
    assert wrong / length < 0.5


@pytest.mark.parametrize("at_hand", [True, False])
def test_a_sentence_is_said_or_the_drawn_voice_stands_in(at_hand: bool, tmp_path: Path):
    if at_hand:
        pytest.importorskip("espeakng_loader")
    block = "" if at_hand else "sys.modules['espeakng_loader'] = None; "
    words = [str(TOOL.with_name("say.py")), str(tmp_path / "said.wav"), "a short sentence"]
    program = f"import runpy, sys; {block}sys.path.insert(0, {str(TOOL.parent)!r}); sys.argv = {words!r}; "
    program += f"runpy.run_path({words[0]!r}, run_name='__main__')"
    told = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    assert ("espeak-ng\n" in told) if at_hand else ("drawn face's own voice" in told)
    with SoundReader(tmp_path / "said.wav") as reader:
        sound = np.concatenate([chunk.samples for chunk in reader])
    assert 1.2 < len(sound) / 16_000 < 4 and np.abs(sound).max() > 0.1
