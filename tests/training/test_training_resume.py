"""A run may be stopped, killed, starved of disk or fed nonsense: what was good is kept, going on changes nothing."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from made import made_shards, run
from visavis.core.errors import ConfigError, DataError, OutputError
from visavis.training import checkpoint as checkpoints
from visavis.training.checkpoint import last_checkpoint, load_state, publish, write
from visavis.training.config import read_config
from visavis.training.data.dataset import Batch, Pairs
from visavis.training.loop import DivergedError
from visavis.training.machine import OneDevice
from visavis.training.run import train
from visavis.training.tasks.registry import task_class
from visavis.training.trainer import Trainer

STEPS = 7
TOML = """
batch = 2
stride = 1
log_every = 1
checkpoint_every_s = 0.0
[losses]
adversarial = 1.0
[model]
preset = "tiny"
"""


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_shards(tmp_path_factory.mktemp("data") / "shards")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("settings") / "run.toml"
    path.write_text(TOML)
    return path


@pytest.fixture(scope="module")
def whole(config: Path, shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing interrupted."""
    out = tmp_path_factory.mktemp("whole") / "run"
    train(config, shards, steps=STEPS, out=out, device="cpu")
    return out


def assert_same_run(a: Path, b: Path) -> None:
    """The same weights, moments and running averages, bit for bit, and the same losses on the way."""
    for name in ("state.safetensors", "weights.safetensors"):
        first, second = (load_file(last_checkpoint(out) / name) for out in (a, b))
        assert first.keys() == second.keys()
        assert [key for key in first if not torch.equal(first[key], second[key])] == []
    assert entries(a) == entries(b)


def entries(out: Path) -> list[tuple[int, dict[str, float]]]:
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [(line["step"], line["losses"]) for line in lines]


def go_on(config: Path, shards: Path, out: Path, killed_at: str) -> int:
    """Train in a process of its own that is killed -9 just before it gives a checkpoint this name; its exit status."""
    code = """
import os, signal, sys
from visavis.cli.main import main
last = sys.argv.pop()
def watch(event, args):
    if event == "os.rename" and str(args[1]).endswith(last):
        os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(watch)
main()
"""
    verb = ["train", config, "--data", shards, "--out", out, "--steps", STEPS, "--device", "cpu", "--resume", killed_at]
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, verb)], stdout=subprocess.DEVNULL, check=False
    ).returncode


def test_a_killed_run_goes_on_to_the_same_bits(config: Path, shards: Path, whole: Path, tmp_path: Path):
    """Killed when its first checkpoint is written but not yet named, and again half way."""
    out = tmp_path / "run"
    assert go_on(config, shards, out, "step-00000001") == -signal.SIGKILL
    assert not list(out.glob("step-*")) and (out / ".writing").exists()
    assert go_on(config, shards, out, "step-00000004") == -signal.SIGKILL
    assert last_checkpoint(out).name == "step-00000003"
    assert go_on(config, shards, out, "never") == 0
    assert_same_run(whole, out)
    assert [step for step, _ in entries(out)] == list(range(1, STEPS + 1))


def test_a_stopped_run_goes_on_to_the_same_bits(config: Path, shards: Path, whole: Path, tmp_path: Path):
    out = tmp_path / "run"
    report = train(config, shards, ["stop_after_s=0.000001"], steps=STEPS, out=out, device="cpu")
    assert report is not None and 1 <= report.steps < STEPS
    train(config, shards, steps=STEPS, resume=True, out=out, device="cpu")
    assert_same_run(whole, out)


class _KilledError(BaseException):
    """Stands for the end of the process: nothing in the package catches it."""


def _trainer(config: Path, shards: Path) -> Trainer:
    settings = replace(read_config(config), steps=STEPS)
    return Trainer(settings, task_class("avfr").start(settings, shards, {}, lambda line: None), OneDevice())


def test_a_kill_between_any_two_file_operations_leaves_a_whole_checkpoint(
    config: Path, shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The third checkpoint, which also clears the first away, is cut off before its first, second, ... operation."""
    trainer, left = _trainer(config, shards), [10**9]

    def counted(operation: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **named: object) -> object:
            left[0] -= 1
            if left[0] < 0:
                raise _KilledError
            return operation(*arguments, **named)

        return call

    for name in ("mkdir", "rename", "replace", "unlink", "rmdir", "hardlink_to", "write_text"):
        monkeypatch.setattr(Path, name, counted(getattr(Path, name)))
    monkeypatch.setattr(checkpoints, "save_file", counted(checkpoints.save_file))
    monkeypatch.setattr(checkpoints, "save", counted(checkpoints.save))
    seen, survived = set(), 0
    while survived < 50:
        out = tmp_path / f"run{survived}"
        left[0] = 10**9
        out.mkdir()
        for step in (1, 2, 3):
            trainer.steps_done = step
            left[0] = survived if step == 3 else 10**9
            try:
                write(trainer, out)
            except _KilledError:
                break
        else:
            break
        left[0] = 10**9
        steps = int(last_checkpoint(out).name.removeprefix("step-"))
        assert "network.mesh_model.mean" in load_state(out)
        publish(out)
        assert load_file(out / "weights.safetensors").keys() == trainer.averaged.state_dict().keys()
        trainer.steps_done = steps + 1
        write(trainer, out)
        assert last_checkpoint(out).name == f"step-{steps + 1:08d}"
        seen.add(steps)
        survived += 1
    assert seen == {2, 3}, "some kills came before the pointer moved, and some after"
    assert sorted(path.name for path in out.iterdir()) == [
        "progress.json",
        "step-00000002",
        "step-00000003",
        "weights.safetensors",
    ]


def test_a_run_that_diverges_names_the_step_and_keeps_what_was_good(
    config: Path, shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The fourth batch is not a number; logs are rare, so that the loop itself has to remember where it began."""
    draw = Pairs.batch

    def poisoned(self: Pairs, step: int, count: int) -> Batch:
        batch = draw(self, step, count)
        return replace(batch, driving=batch.driving * float("nan")) if step == 3 else batch

    monkeypatch.setattr(Pairs, "batch", poisoned)
    train(config, shards, steps=2, out=tmp_path, device="cpu")
    with pytest.raises(DivergedError, match=r"step 4: l1, .* not finite"):
        train(
            config, shards, ["log_every=5", "checkpoint_every_s=1e9"], steps=8, resume=True, out=tmp_path, device="cpu"
        )
    assert last_checkpoint(tmp_path).name == "step-00000002"
    monkeypatch.undo()
    assert train(config, shards, steps=5, resume=True, out=tmp_path, device="cpu") is not None
    assert all(tensor.isfinite().all() for tensor in load_state(tmp_path).values())


def test_weights_that_are_not_finite_are_not_written(config: Path, shards: Path, tmp_path: Path):
    trainer = _trainer(config, shards)
    next(trainer.task.network.parameters()).data.fill_(float("inf"))
    with pytest.raises(DivergedError, match="not finite"):
        write(trainer, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_line_and_the_last_checkpoint_stays(
    config: Path, shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    trainer = _trainer(config, shards)
    write(trainer, tmp_path)

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints, "save_file", full)
    trainer.steps_done = 1
    with pytest.raises(OutputError, match="No space left"):
        write(trainer, tmp_path)
    assert last_checkpoint(tmp_path).name == "step-00000000"
    load_state(tmp_path)


def test_settings_that_decide_the_weights_cannot_change_on_the_way(config: Path, shards: Path, tmp_path: Path):
    train(config, shards, steps=1, out=tmp_path, device="cpu")
    for setting, named in (("batch=3", "batch = 2"), ("losses.l1=1.0", "l1: 10.0"), ("accumulate=2", "batches_a_step")):
        with pytest.raises(ConfigError, match=named):
            train(config, shards, [setting], steps=2, resume=True, out=tmp_path, device="cpu")
    train(config, shards, ["log_every=7", "threads=1"], steps=2, resume=True, out=tmp_path, device="cpu")
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(DataError, match=r"run\.json"):
        train(config, shards, steps=3, resume=True, out=tmp_path, device="cpu")


def test_a_run_folder_tells_how_the_run_came_about(whole: Path):
    about = json.loads((whole / "run.json").read_text())
    assert about["config"]["batch"] == 2 and about["config"]["model"]["size"] == 64
    assert about["versions"]["torch"] == torch.__version__
    assert about["git"] is None or len(about["git"]["commit"]) == 40
    assert [path.name for path in sorted((whole / "sheets").iterdir())][-1] == f"step-{STEPS:08d}.png"
    lines = [json.loads(line) for line in (whole / "log.jsonl").read_text().splitlines()]
    assert all(line["samples_per_s"] > 0 and line["losses"]["discriminator"] > 0 for line in lines)


def test_curves_and_sheets_go_to_tensorboard(whole: Path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(whole / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("l1")] == list(range(1, STEPS + 1))
    assert [event.value for event in events.Scalars("l1")] == pytest.approx([loss["l1"] for _, loss in entries(whole)])
    assert "sheet" in events.Tags()["images"]


def test_train_reports_in_json_and_stops_in_time(
    config: Path, shards: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    verb = ["train", config, "--data", shards, "--out", tmp_path / "run", "--device", "cpu", "--steps", 3, "--json"]
    assert run([*verb, "--stop-after", 0.000001]) == 0
    printed = capfd.readouterr()
    report = json.loads(printed.out)
    assert (report["steps"], report["device"], report["precision"], report["perceptual"]) == (1, "cpu", "fp32", "none")
    assert report["samples_per_s"] > 0 and Path(report["weights"]).is_file() and Path(report["checkpoint"]).is_dir()
    assert "step 1/3" in printed.err
    assert run(verb) == 1
    assert "--resume" in capfd.readouterr().err
    assert run([*verb, "--resume"]) == 0
    assert json.loads(capfd.readouterr().out)["steps"] == 3
