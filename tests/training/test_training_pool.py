"""Learning a lighter network from a larger one: parts that stay, pairs that come again, a teacher."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from made import made_shards, tiny_mesh
from visavis.core.errors import ConfigError
from visavis.generators.avfr.config import AvfrConfig
from visavis.generators.avfr.generator import AvfrGenerator
from visavis.training.config import TrainConfig, from_values, read_config
from visavis.training.run import train
from visavis.training.start import find_start
from visavis.training.tasks.avfr import AvfrDrawn, AvfrTask
from visavis.weights.checkpoint import load, save

FROZEN = ("detector", "motion.hourglass", "appearance", "identity")
TOML = """batch = 2
stride = 1
log_every = 1
start_partly = true
frozen = ["detector", "motion.hourglass", "appearance", "identity"]
pool = 6
drivings = 3
[model]
preset = "tiny"
sound = false
coarse_heads = true
light = true
light_widths = [4, 6, 8]
light_blocks = [1, 2, 1]
light_carried = [3, 5]
[losses]
equivariance_points = 0.0
equivariance_jacobians = 0.0
teacher = 0.5
teacher_grid = 1.0
texture = 2.0
"""


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_shards(tmp_path_factory.mktemp("data") / "shards")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "run.toml"
    path.write_text(TOML)
    return path


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The larger network, with a face model, and heads that choose among motions."""
    monkeypatch.setenv("VISAVIS_ENGINE", "torch")
    torch.manual_seed(1)
    generator = AvfrGenerator(AvfrConfig.tiny())
    network = generator.network
    network.mesh_model.mean.copy_(torch.from_numpy(tiny_mesh()))
    network.mesh_model.basis.normal_(0, 0.01)
    path = tmp_path / "larger.safetensors"
    save(path, network.state_dict(), family="avfr", config=generator.plain_config)
    return path


def task_of(settings: TrainConfig, shards: Path) -> AvfrTask:
    start = find_start(settings)
    assert start is not None
    task = AvfrTask.start(settings, shards, start.fixed, lambda line: None)
    start.load_into(task.network)
    return task


def settings_of(config: Path, weights: Path, *changes: str) -> TrainConfig:
    return read_config(config, [f"start_from={weights}", f"teacher={weights}", *changes])


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_run_keeps_what_is_frozen_and_learns_the_rest(
    precision: str, config: Path, shards: Path, weights: Path, tmp_path: Path
):
    changes = [f"start_from={weights}", f"teacher={weights}", f"precision={precision}"]
    report = train(config, shards, changes, steps=3, out=tmp_path / "run", device="cpu")
    assert report is not None and {"teacher", "teacher_grid", "texture"} <= report.losses.keys()
    theirs, ours = load(weights).tensors, load(tmp_path / "run/weights.safetensors").tensors
    kept = {name for name in ours if name in theirs and torch.equal(ours[name], theirs[name])}
    assert {name for name in ours if name.startswith(tuple(f"{part}." for part in FROZEN))} <= kept
    assert "motion.mask.weight" not in kept and not any(name.startswith(("decoder.", "narrow.")) for name in kept)


def test_a_run_that_stops_goes_on_as_if_it_had_not(config: Path, shards: Path, weights: Path, tmp_path: Path):
    changes = [f"start_from={weights}", f"teacher={weights}"]
    train(config, shards, changes, steps=4, out=tmp_path / "whole", device="cpu")
    for steps in (2, 4):
        train(config, shards, changes, steps=steps, resume=steps > 2, out=tmp_path / "parts", device="cpu")
    whole, parts = (load(tmp_path / name / "weights.safetensors").tensors for name in ("whole", "parts"))
    for name, tensor in whole.items():
        torch.testing.assert_close(parts[name], tensor, rtol=1e-4, atol=1e-6, msg=name)


@pytest.mark.parametrize("memory", ["host", "device"])
def test_a_pair_that_comes_again_is_drawn_as_if_nothing_were_kept(
    memory: str, config: Path, shards: Path, weights: Path
):
    """Kept in half precision: half a level of 255 at most from what the whole network makes of the batch."""
    task = task_of(settings_of(config, weights, f"memory={memory}"), shards)
    task.to(torch.device("cpu"))
    network = task.network.eval()
    batch = task.whole(task.batch(0, 4))
    with torch.no_grad():
        first, again = task.draw(network, batch), task.draw(network, batch)
        anew = task.draw(network, replace(batch, number=torch.full((4,), -1)))
    assert isinstance(first, AvfrDrawn) and not isinstance(anew, AvfrDrawn)
    assert torch.equal(first.picture, again.picture)
    assert (first.picture - anew.picture).abs().max() < 2e-3
    assert (first.warped - anew.warped).abs().max() < 2e-3


def test_a_teacher_shows_what_its_weights_make_of_a_pair(config: Path, shards: Path, weights: Path):
    task = task_of(settings_of(config, weights), shards)
    batch = task.whole(task.batch(0, 2))
    drawn = task.draw(task.network, batch)
    assert isinstance(drawn, AvfrDrawn) and drawn.taught is not None and drawn.taught.picture is not None
    generator = AvfrGenerator(AvfrConfig.tiny())
    generator.network.load_state_dict(load(weights).tensors)
    network = generator.network.eval()
    with torch.no_grad():
        source = network.detect(batch.source, batch.source_prior, batch.source_mesh)
        driving = network.detect(batch.driving, batch.driving_prior, batch.driving_mesh)
        still = network.encode(batch.source, source, batch.source_prior)
        shown = network.render(still, driving, batch.driving_prior[:, :1], batch.mel)
    assert (drawn.taught.picture - shown.picture).abs().max() < 4e-3
    assert (drawn.taught.grid - shown.grid).abs().max() < 1e-4


def test_a_teacher_need_not_draw_where_its_motion_alone_counts(config: Path, shards: Path, weights: Path):
    task = task_of(settings_of(config, weights, "losses.teacher=0"), shards)
    batch = task.whole(task.batch(0, 2))
    drawn = task.draw(task.network, batch)
    assert isinstance(drawn, AvfrDrawn) and drawn.taught is not None and drawn.taught.picture is None
    assert {"teacher_grid"} == {name for name in task.terms(drawn, batch, 0) if name.startswith("teacher")}


def test_a_pool_holds_so_many_pairs_of_so_many_sources(config: Path, shards: Path, weights: Path):
    pairs = task_of(settings_of(config, weights), shards).pairs
    draws = [draw for step in range(40) for draw in pairs.draws(step, 2)]
    assert {draw.number for draw in draws} == set(range(6))
    by_number: dict[int, Any] = {}
    for draw in draws:
        same = by_number.setdefault(draw.number, draw)
        assert (draw.clip, draw.source, draw.driving) == (same.clip, same.source, same.driving)
        np.testing.assert_array_equal(draw.gain, same.gain)
    for first in (0, 3):
        assert len({(by_number[n].clip, by_number[n].source) for n in range(first, first + 3)}) == 1


def test_what_cannot_be_kept_is_refused(config: Path, shards: Path, weights: Path, tmp_path: Path):
    out = tmp_path / "run"
    with pytest.raises(ConfigError, match="'frozen' lacks appearance, identity"):
        task_of(settings_of(config, weights, 'frozen=["detector", "motion.hourglass"]'), shards)
    with pytest.raises(ConfigError, match="task 'keypoint' draws new samples for ever"):
        from_values({"task": "keypoint", "pool": 3, "model": {"preset": "tiny"}})
    with pytest.raises(ConfigError, match="'frozen' names no part of the network: 'eyes'"):
        train(config, shards, ["pool=0", "teacher=", 'frozen=["eyes"]', f"start_from={weights}"], out=out, device="cpu")
    with pytest.raises(ConfigError, match="'teacher' needs a 'pool'"):
        settings_of(config, weights, "pool=0")
    with pytest.raises(ConfigError, match=r"its network has .* and \[model\] says"):
        find_start(settings_of(config, weights, "start_partly=false"))
