"""A lent machine is bare, gives back little, and is cut off: two short leases end where one long run does."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from made import made_shards
from visavis.audio.speech import SIZE
from visavis.core.errors import DataError
from visavis.data.shards import Priors, read
from visavis.training.checkpoint import last_checkpoint
from visavis.training.data import heard
from visavis.training.data.gaps import bridged
from visavis.training.run import train
from visavis.weights.checkpoint import load

TOOL = Path(__file__).parents[2] / "tools/lease.py"
ABSENT = ("mediapipe", "av", "librosa", "lightning_fabric", "tensorboard", "typer", "rich", "scipy", "PIL", "tomli")
TOML = 'steps = 4\nbatch = 2\nstride = 1\nlog_every = 1\ncheckpoint_every_s = 0.0\n[model]\npreset = "tiny"\n'


@pytest.fixture(scope="module")
def lease() -> ModuleType:
    spec = importlib.util.spec_from_file_location("lease", TOOL)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_shards(tmp_path_factory.mktemp("data") / "shards", clips=3)


def on_a_bare_machine(arguments: list[object]) -> str:
    """Run the tool in an interpreter that cannot import what such a machine lacks; returns what it printed."""
    block = f"import sys, runpy; sys.modules.update(dict.fromkeys({ABSENT!r}))"
    code = [block + f"; runpy.run_path({str(TOOL)!r}, None, '__main__')", *map(str, arguments)]
    done = subprocess.run([sys.executable, "-c", *code], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_two_leases_end_where_one_run_does(lease: ModuleType, shards: Path, tmp_path: Path):
    (tmp_path / "run.toml").write_text(TOML)
    assert lease.main(["pack", str(shards), "-o", str(tmp_path / "data"), "--most-mib", "0.2"]) == 0
    back = tmp_path / "back"
    verb = ["train", tmp_path / "run.toml", "--data", tmp_path / "data", "--back", back, "--device", "cpu"]
    first = on_a_bare_machine([*verb, "--seconds", 1, "--run", tmp_path / "first", "--piece-mib", 0.1])
    assert json.loads(first.splitlines()[-1])["steps"] == 1
    assert len(list(back.glob("run.0*"))) > 1
    assert all(path.is_file() and path.stat().st_size <= 0.1 * lease.MIB for path in back.glob("run.0*"))
    verb += ["--from", back, "--seconds", 600, "--run", tmp_path / "second"]
    assert lease.main([str(word) for word in verb]) == 0
    assert lease.main(["unpack", str(back), "-o", str(tmp_path / "home")]) == 0
    train(tmp_path / "run.toml", tmp_path / "data", out=tmp_path / "whole", device="cpu")
    for name in ("state.safetensors", "weights.safetensors"):
        whole, home = (load_file(last_checkpoint(tmp_path / run) / name) for run in ("whole", "home"))
        assert [key for key in whole if not torch.equal(whole[key], home[key])] == []


def test_pieces_hold_every_clip_and_stay_under_their_limit(lease: ModuleType, shards: Path, tmp_path: Path):
    limit = (max(len(record.video) + len(record.priors) for record in read(shards)) + 15_000) / lease.MIB
    pieces = lease.pack(shards, tmp_path, limit)
    assert len(pieces) == 3
    assert all(piece.stat().st_size <= limit * lease.MIB for piece in pieces)
    assert [record.video for record in read(tmp_path)] == [record.video for record in read(shards)]
    assert lease.main(["pack", str(shards), "-o", str(tmp_path), "--most-mib", "1"]) == 1
    assert lease.main(["pack", str(shards), "-o", str(tmp_path / "small"), "--most-mib", "0.001"]) == 1


def test_thinned_pieces_hold_fewer_frames_and_clips(lease: ModuleType, shards: Path, tmp_path: Path):
    """What is kept is as it was: the frames' priors, and the sound."""
    words = ["pack", str(shards), "-o", str(tmp_path), "--every", "2", "--clips", "train=1"]
    assert lease.main(words) == 0
    for before, after in zip(read(shards), read(tmp_path), strict=True):
        whole, thin = Priors.decode(before.priors), Priors.decode(after.priors)
        assert thin.seen.tolist() == [True, False] * 3
        assert (thin.mesh[::2] == whole.mesh[::2]).all()
        assert (thin.segmentation[::2] == whole.segmentation[::2]).all()
        assert (thin.mel == whole.mel).all()
        assert len(after.priors) < len(before.priors)
    assert lease.main([*words[:3], str(tmp_path / "none"), "--clips", "train=0"]) == 0
    assert list((tmp_path / "none").glob("*.tar")) == []


def test_a_run_by_time_goes_on_in_a_second_lease(lease: ModuleType, shards: Path, tmp_path: Path):
    (tmp_path / "run.toml").write_text(
        'schedule = "cosine"\nschedule_by = "time"\nmirrored = 0.5\n' + TOML.replace("steps = 4", "steps = 9999")
    )
    verb = [
        "train",
        str(tmp_path / "run.toml"),
        "--data",
        str(shards),
        "--back",
        str(tmp_path / "back"),
        "--device",
        "cpu",
    ]
    verb += ["--set", "memory=device"]
    assert lease.main([*verb, "--seconds", "1", "--run", str(tmp_path / "first"), "--set", "run_s=1e9"]) == 0
    first = load(tmp_path / "first/weights.safetensors", tensors=False).meta
    again = [*verb, "--seconds", "600", "--from", str(tmp_path / "back"), "--run", str(tmp_path / "second")]
    assert lease.main([*again, "--set", f"run_s={first['seconds'] + 0.2}"]) == 0
    second = load(tmp_path / "second/weights.safetensors", tensors=False).meta
    assert first["steps"] == 1 < second["steps"] < 9999
    assert second["seconds"] >= first["seconds"] + 0.2


def test_a_state_too_large_to_come_back_leaves_the_weights(lease: ModuleType, shards: Path, tmp_path: Path):
    (tmp_path / "run.toml").write_text(TOML)
    train(tmp_path / "run.toml", shards, steps=1, out=tmp_path / "run", device="cpu")
    said = lease.leave(tmp_path / "run", tmp_path / "back", most_mib=0.01, piece_mib=0.01)
    assert "weights alone" in said
    assert sorted(path.name for path in (tmp_path / "back").iterdir()) == [
        "log.jsonl",
        "sheet.png",
        "weights.safetensors",
    ]
    assert lease.main(["unpack", str(tmp_path / "back"), "-o", str(tmp_path / "home")]) == 1


def test_pieces_of_different_checkpoints_are_not_joined(
    lease: ModuleType, shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "run.toml").write_text(TOML)
    train(tmp_path / "run.toml", shards, steps=1, out=tmp_path / "run", device="cpu")
    lease.leave(tmp_path / "run", tmp_path / "back", most_mib=60, piece_mib=0.1)
    (tmp_path / "back/run.000").write_bytes(bytes(100_000))
    assert lease.main(["unpack", str(tmp_path / "back"), "-o", str(tmp_path / "home")]) == 1
    assert "do not belong together" in capsys.readouterr().err


def test_a_thinned_clip_still_has_frames_in_a_row():
    """What was left out lies between what was kept; a face that was lost for longer stays lost."""
    seen = np.array([1, 0, 1, 0, 0, 1, 0], bool)
    mesh = np.arange(7, dtype=np.float32)[:, None, None] ** 2 * np.ones((1, 478, 3), np.float32)
    found = bridged(Priors(seen, mesh, np.zeros((7, 64, 64), np.uint8), None))
    assert found.seen.tolist() == [True, True, True, False, False, True, False]
    assert found.mesh[1, 0, 0] == 2
    assert np.array_equal(found.mesh[2:], mesh[2:])


def test_what_was_heard_travels_beside_the_pieces(shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Every other frame's features, of speakers alone, and what is read is what was written."""
    records = [replace(record, info={**record.info, "sound_is_speech": n > 0}) for n, record in enumerate(read(shards))]
    told = {
        record.name: np.random.default_rng(n).normal(size=(9, SIZE)).astype(np.float32)
        for n, record in enumerate(records)
    }
    monkeypatch.setattr(heard, "_computed", lambda: lambda one: told[one.name] if one.info["sound_is_speech"] else None)
    assert heard.write_heard(records, tmp_path, 2) == len(records) - 1
    look_up = heard.heard(tmp_path)
    assert look_up(records[0]) is None
    for record in records[1:]:
        found = look_up(record)
        assert found is not None
        np.testing.assert_allclose(found[:9:2], told[record.name][::2], atol=2e-3)
    (tmp_path / heard.FILE).write_bytes(b"nothing")
    with pytest.raises(DataError, match="damaged"):
        heard.heard(tmp_path)
