"""A network that learns characters: its speech, its loss, and from speech to weights that hear."""

from __future__ import annotations

import itertools
import math
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from visavis.audio.character_network import CharacterNetwork
from visavis.audio.characters import BLANK, CHARACTERS, best_path, encode
from visavis.audio.mel import log_mel
from visavis.audio.recogniser import CharacterConfig, CharacterRecogniser
from visavis.core.errors import ConfigError, DataError
from visavis.data.spoken import Utterance, compressed, write_spoken
from visavis.training.config import TrainConfig
from visavis.training.data.rooms import recorded
from visavis.training.data.speech import Speech, SpeechBatch, load_speech
from visavis.training.machine import OneDevice
from visavis.training.run import train
from visavis.training.tasks.ctc import CtcTask, SpeechLosses, ctc_loss
from visavis.training.trainer import Trainer
from visavis.weights.checkpoint import load

PARTS = 30
LETTERS = "ab e"


def beeped(text: str) -> np.ndarray:
    """A tone of its own for each letter, 0.12 s long, then as much silence; a space is silence alone."""
    time = np.arange(1920) / 16_000
    tones = {"a": 400, "b": 900, "e": 2500}
    one = [np.concatenate([0.4 * np.sin(2 * np.pi * tones.get(c, 0) * time), np.zeros(960)]) for c in text]
    return np.concatenate(one).astype(np.float32)


def utterances(count: int, split: str = "train", seed: int = 0) -> list[Utterance]:
    rng = np.random.default_rng(seed)
    texts = ["".join(rng.choice([*"abe"], 4)) for _ in range(count)]
    return [Utterance(text, f"v{number}", split, compressed(beeped(text))) for number, text in enumerate(texts)]


def speech(varied: float = 1.0, seed: int = 0) -> Speech:
    reach = CharacterConfig.tiny().reach_samples
    return Speech(utterances(6), parts=PARTS, reach_samples=reach, varied=varied, stretches=50, seed=seed)


def written(folder: Path) -> Path:
    folder.mkdir()
    write_spoken(folder / "spoken-00000.npz", [*utterances(6), *utterances(3, "val", 1)])
    return folder


# --- the loss


def test_the_loss_is_that_of_all_paths_counted_one_by_one():
    """Five parts, two letters of 28 classes: every sequence of classes whose best path is the text."""
    torch.manual_seed(0)
    logits = 2 * torch.randn(1, BLANK + 1, 5)
    shares = logits[0].double().softmax(0).T
    total = 0.0
    for classes in itertools.product([*encode("ab"), BLANK], repeat=5):
        if best_path(classes) == "ab":
            total += math.prod(float(shares[part, number]) for part, number in enumerate(classes))
    text = torch.tensor([[*encode("ab"), BLANK, BLANK]])
    assert float(ctc_loss(logits, text)) == pytest.approx(-math.log(total) / 2, rel=1e-5)


def test_a_text_that_no_path_can_say_counts_nothing():
    logits = torch.randn(1, BLANK + 1, 2, requires_grad=True)
    loss = ctc_loss(logits, torch.tensor([encode("abab")]))
    loss.backward()
    assert float(loss.detach()) == 0 and logits.grad is not None and not logits.grad.any()


# --- speech


def test_a_batch_depends_on_its_number_alone():
    first, again = speech(), speech()
    first.batch(0, 3)
    one, two = first.batch(5, 3), again.batch(5, 3)
    assert torch.equal(one.mel, two.mel) and torch.equal(one.text, two.text)
    assert not torch.equal(one.mel, again.batch(6, 3).mel)
    assert not torch.equal(one.mel, speech(seed=1).batch(5, 3).mel)


def test_a_stretch_has_a_part_for_every_logit_and_the_words_that_are_in_it():
    batch = speech(varied=0).batch(0, 4)
    network = CharacterNetwork(CharacterConfig.tiny())
    assert network(batch.mel).shape == (4, BLANK + 1, PARTS)
    known = {utterance.text for utterance in utterances(6)}
    for row in batch.text.tolist():
        words = "".join(CHARACTERS[number] for number in row if number != BLANK)
        assert words and set(words.split()) <= known


def test_stronger_disturbances_take_more_of_the_sound_away():
    said = np.concatenate([beeped("abea")] * 2)
    other = beeped("eeee")

    def likeness(strength: float) -> float:
        found = []
        for seed in range(12):
            heard = recorded(said, other, strength, np.random.default_rng(seed))
            assert heard.shape == said.shape and np.isfinite(heard).all() and np.abs(heard).max() <= 1.0001
            found.append(np.corrcoef(log_mel(said).ravel(), log_mel(heard).ravel())[0, 1])
        return float(np.mean(found))

    weak, middle, strong = (likeness(strength) for strength in (0.0, 0.5, 1.0))
    assert weak > middle + 0.05 and middle > strong + 0.05 and weak > 0.7


def test_speech_of_no_split_or_too_long_for_a_stretch_is_refused(tmp_path: Path):
    folder = written(tmp_path / "spoken")
    with pytest.raises(DataError, match="no speech of split"):
        load_speech(folder, "test")
    with pytest.raises(DataError, match="longer than a stretch"):
        Speech(utterances(2), parts=3, reach_samples=100, varied=0, stretches=2)
    with pytest.raises(ConfigError, match="varied"):
        SpeechLosses(varied=2)


# --- learning


def test_a_tiny_network_learns_to_hear_letters():
    losses = SpeechLosses(parts=PARTS, varied=0.1, stretches=60)
    config = TrainConfig(CharacterConfig.tiny(), losses, "ctc", steps=200, batch=8, learning_rate=1e-2, ema=0.9)
    task = CtcTask(config, speech(varied=0.1), {"clean": speech(varied=0, seed=3)})
    trainer = Trainer(config, task, OneDevice())
    before = task.validate(trainer.averaged)["cer_clean"]
    for step in range(config.steps):
        trainer.step([task.batch(step, config.batch)])
    assert before > 0.7
    assert task.validate(trainer.averaged)["cer_clean"] < 0.2
    sheet = task.sheet(trainer.averaged)
    assert sheet is not None and sheet.shape == (6 * 4 * (BLANK + 3), 6 * PARTS, 3) and sheet.max() > 200


def test_a_run_gives_weights_that_hear_and_goes_on_as_if_never_stopped(tmp_path: Path):
    folder = written(tmp_path / "spoken")
    recipe = tmp_path / "ctc.toml"
    recipe.write_text(
        'task = "ctc"\nbatch = 2\nlog_every = 1\nvalidate_every_s = 1000.0\nvalidate_frames = 30\n'
        '[model]\npreset = "tiny"\ndropout = 0.1\n[losses]\nparts = 30\nstretches = 9\n'
    )
    train(recipe, folder, steps=3, out=tmp_path / "straight")
    train(recipe, folder, ["stop_after_s=1e-9"], steps=3, out=tmp_path / "stopped")
    train(recipe, folder, steps=3, resume=True, out=tmp_path / "stopped")
    straight, resumed = (tmp_path / run / "weights.safetensors" for run in ("straight", "stopped"))
    one, two = load(straight), load(resumed)
    assert one.family == "characters" and one.config == {**asdict(CharacterConfig.tiny()), "dropout": 0.1}
    assert all(torch.equal(one.tensors[name], two.tensors[name]) for name in one.tensors)
    recogniser = CharacterRecogniser.load(straight)
    assert recogniser.logits(np.zeros(2 * recogniser.reach_samples + 640, np.float32)).shape == (1, 27)
    assert "cer_noisy" in (tmp_path / "straight" / "log.jsonl").read_text()
    assert list((tmp_path / "straight" / "sheets").iterdir())


def test_a_batch_goes_where_the_network_is():
    batch = SpeechBatch(torch.zeros(1, 80, 50), torch.zeros(1, 3, dtype=torch.long)).to(torch.device("meta"))
    assert batch.mel.is_meta and batch.text.is_meta
