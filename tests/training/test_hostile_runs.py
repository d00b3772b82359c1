"""Runs of training that meet each other, damage, or settings that no run can have."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from made import made_shards, run
from visavis.core.config import load_toml, override
from visavis.core.errors import ConfigError, OutputError, WeightsError
from visavis.core.lock import Lock
from visavis.media.provenance import marks
from visavis.training.checkpoint import last_checkpoint
from visavis.training.config import TrainConfig, from_values, read_config
from visavis.training.run import train

TOML = 'steps = 2\nbatch = 1\nstride = 2\nlog_every = 1\ncheckpoint_every_s = 0.0\n[model]\npreset = "tiny"\n'


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_shards(tmp_path_factory.mktemp("data") / "shards", clips=1)


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "r.toml"
    path.write_text(TOML)
    return path


def test_a_second_run_in_the_same_folder_is_refused(recipe: Path, shards: Path, tmp_path: Path):
    """While the first works, also before its first checkpoint, also with resume; and let in when it is done."""
    out = tmp_path / "run"
    refused: list[str] = []

    def meanwhile(line: str = "") -> None:
        for resume in (False, True):
            if resume or not (out / "progress.json").exists():
                with pytest.raises(OutputError, match="another run works here") as caught:
                    train(recipe, shards, resume=resume, out=out, device="cpu")
                refused.append(str(caught.value))

    train(recipe, shards, out=out, device="cpu", say=meanwhile)
    assert any(str(out) in line for line in refused)
    assert train(recipe, shards, steps=3, resume=True, out=out, device="cpu") is not None


def test_a_lock_ends_with_its_holder(tmp_path: Path):
    lock = Lock(tmp_path)
    with pytest.raises(OutputError):
        Lock(tmp_path)
    lock.close()
    lock.close()
    Lock(tmp_path).close()


DAMAGES = {
    "cut state": lambda folder: _cut(folder / "state.safetensors"),
    "no state": lambda folder: (folder / "state.safetensors").unlink(),
    "a flipped bit": lambda folder: _flip(folder / "state.safetensors"),
    "cut weights": lambda folder: _cut(folder / "weights.safetensors"),
}


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_said_and_the_one_before_taken(recipe: Path, shards: Path, tmp_path: Path, damage: str):
    out = tmp_path / "run"
    train(recipe, shards, out=out, device="cpu")
    newest = last_checkpoint(out)
    assert newest.name == "step-00000002"
    # The weights above are the checkpoint's by a link: damage of one is not to be damage of both here.
    (out / "weights.safetensors").unlink()
    DAMAGES[damage](newest)
    said: list[str] = []
    report = train(recipe, shards, steps=3, resume=True, out=out, device="cpu", say=said.append)
    assert report is not None and report.steps == 3
    assert any("step-00000002 is damaged" in line and "step-00000001, the one before" in line for line in said)
    assert "resumed at step 1" in said
    assert [json.loads(line)["step"] for line in (out / "log.jsonl").read_text().splitlines()] == [1, 2, 3]


def test_two_damaged_checkpoints_are_one_line(recipe: Path, shards: Path, tmp_path: Path):
    out = tmp_path / "run"
    train(recipe, shards, out=out, device="cpu")
    for folder in out.glob("step-*"):
        _cut(folder / "state.safetensors")
    with pytest.raises(WeightsError, match="no other to go on from"):
        train(recipe, shards, steps=3, resume=True, out=out, device="cpu")


@pytest.mark.parametrize(
    "setting",
    [
        "learning_rate=nan", "learning_rate=-1", "learning_rate=inf", "learning_rate=0", "learning_rate=1e400",
        "learning_rate=1" + "0" * 400,
        "stop_after_s=nan", "stop_after_s=-1", "checkpoint_every_s=-5", "region_weight=-1", "jitter=-0.1", "ema=1.5",
        "ema=nan", "far_share=2", "seed=-1", "steps=-3", "batch=0", "threads=100000", "losses.l1=nan", "losses.l1=-1",
        "losses.perceptual=inf", "steps=" + "9" * 5000, "batch=" + "[" * 5000,
    ],
)  # fmt: skip
def test_settings_that_no_run_can_have_are_refused(recipe: Path, setting: str):
    with pytest.raises(ConfigError) as caught:
        read_config(recipe, [setting])
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500
    assert setting.partition("=")[0].rpartition(".")[2] in str(caught.value)


def test_settings_that_a_run_may_have_are_kept():
    assert from_values({"stop_after_s": 0, "jitter": 0, "ema": 0, "model": {"preset": "tiny"}}).ema == 0
    with pytest.raises(ConfigError, match="finite"):
        from_values({"learning_rate": float("nan")})
    with pytest.raises(ConfigError):
        replace(TrainConfig(), learning_rate=float("nan"))


def test_a_recipe_may_begin_with_a_byte_order_mark(tmp_path: Path):
    (tmp_path / "r.toml").write_bytes(b"\xef\xbb\xbf" + TOML.encode())
    assert read_config(tmp_path / "r.toml").steps == 2


HOSTILE_TOML = {
    "deep list": b"a = " + b"[" * 100_000,
    "deep table": b"a = " + b"{a=" * 100_000,
    "a long number": b"steps = " + b"9" * 10_000,
    "no such day": b"a = 2026-02-31",
    "not text": b"a = '\xff'",
    "large": b"#" * (2 << 20),
    "zeros": bytes(100),
    "extends a list": b"extends = ['a']",
    "extends another folder": b"extends = '../r.toml'",
    "extends itself": b"extends = 'r.toml'",
    "model is a number": b"model = 3",
    "task is a table": b"[task]\na = 1",
}


@pytest.mark.parametrize("case", HOSTILE_TOML)
def test_a_hostile_recipe_is_one_line(tmp_path: Path, case: str, capfd: pytest.CaptureFixture[str]):
    (tmp_path / "r.toml").write_bytes(HOSTILE_TOML[case])
    assert run(["train", tmp_path / "r.toml", "--data", tmp_path, "--out", tmp_path / "run"]) == 1
    assert len(capfd.readouterr().err.splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_a_base_and_its_recipe_may_differ_in_kind(tmp_path: Path):
    """A table over a number is the recipe's table, and the error that it is."""
    (tmp_path / "b.toml").write_text("model = 3\n")
    (tmp_path / "r.toml").write_text('extends = "b.toml"\n[model]\npreset = "tiny"\n')
    assert read_config(tmp_path / "r.toml").model.size == 64


def test_deep_toml_and_overrides_say_what_they_are(tmp_path: Path):
    (tmp_path / "r.toml").write_bytes(HOSTILE_TOML["deep list"])
    with pytest.raises(ConfigError, match="deep"):
        load_toml(tmp_path / "r.toml")
    assert override({}, ["a=" + "[" * 5000])["a"].startswith("[[[")


def test_a_video_tells_the_name_of_its_model_and_not_where_it_lay():
    marked = marks("/home/someone/secret project/my.safetensors")
    assert "(my.safetensors)" in marked["comment"] and "someone" not in "".join(marked.values())
    assert "(avfr-256)" in marks("avfr-256")["comment"]
