"""The 3D-aware generative network from shards to weights: its losses, its references, going on after a stop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import visavis.training
from made_heads import sphere_face, write_heads
from visavis.core.errors import ConfigError
from visavis.generators.rhythmic.projection import matched
from visavis.training.config import TrainConfig, from_values, read_config
from visavis.training.rhythmic_losses import RhythmicLosses, picture_losses
from visavis.training.run import train
from visavis.training.tasks import rhythmic
from visavis.training.tasks.rhythmic import RhythmicTask
from visavis.weights.checkpoint import load

RECIPES = Path(visavis.training.__file__).parent / "recipes"

TINY = """
task = "rhythmic"
batch = 2
stride = 2
log_every = 1
checkpoint_every_s = 0.0
memory = "device"
mirrored = 0.5
perceptual = "none"
[losses]
perceptual = 0.0
warp = 1.0
pyramid = 10.0
painted = 2.0
gradient = 1.0
structure = 1.0
choice = 1.0
[judges.picture]
width = 4
blocks = 2
network = "patch"
[model]
preset = "tiny"
"""

#: What of the tiny network is other than published, undone.
PUBLISHED = (
    *("fold=1", "nmfc=false", "irises=false", "expression=false", "unprojection=true", "surroundings=false"),
    *('gate="all"', "residual=false", "composite=false", "layers=false", "modulation_kernel=3"),
)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("heads")
    write_heads(folder)
    return folder


@pytest.fixture(autouse=True)
def drawn_face(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a sphere in place of the packaged face model."""
    monkeypatch.setattr(rhythmic, "face_shape", lambda irises, landmarks: sphere_face()[1])


def recipe(folder: Path) -> Path:
    path = folder / "run.toml"
    path.write_text(TINY)
    return path


def started(config: TrainConfig, shards: Path) -> RhythmicTask:
    task = RhythmicTask.start(config, shards, {}, lambda line: None)
    task.to(torch.device("cpu"))
    return task


def test_recipes_are_read():
    paper, gpu, cpu = (
        read_config(RECIPES / f"rhythmic-{name}.toml", ["stop_after_s=1"])
        for name in ("paper-256", "256-gpu", "256-cpu")
    )
    assert paper.task == gpu.task == cpu.task == "rhythmic"
    assert paper.model.unprojection and paper.model.gate == "all" and not paper.model.composite
    assert gpu.model == cpu.model and gpu.model.composite
    assert list(gpu.judges) == ["picture", "mouth"] and cpu.judges == {}


def test_the_paper_s_weights_are_the_defaults():
    """Equation 8 with lambda 10 for each of its terms, and discriminators at two scales."""
    config = from_values({"task": "rhythmic"})
    paper = read_config(RECIPES / "rhythmic-paper-256.toml")
    assert config.losses == paper.losses == RhythmicLosses(perceptual=10, warp=10, unprojection=10)
    assert config.judges == paper.judges
    judge = config.judges["picture"]
    assert (judge.network, judge.feature_matching, judge.weight) == ("spade", 10, 1)


def test_the_rows_of_the_ablation_take_one_thing_away_each():
    """Table 3: without the 3D-aware module, hybrid attention, non-linear composition, warping."""
    rows = sorted((RECIPES / "ablation" / "rhythmic").glob("[0-9]*.toml"))
    whole, *others = (read_config(path, ["stop_after_s=1"]) for path in rows)
    assert all(replace(row, model=whole.model) == whole for row in others)
    differences = [
        {name for name, value in asdict(row.model).items() if value != getattr(whole.model, name)} for row in others
    ]
    blend = {"composition", "residual", "composite", "layers"}
    assert differences == [{"projection"}, {"attention"}, blend, {"warping"}]


def test_terms_are_those_that_are_asked_for(shards: Path, tmp_path: Path):
    task = started(read_config(recipe(tmp_path), ["judges={}"]), shards)
    batch = task.whole(task.batch(0, 2))
    drawn = task.draw(task.network, batch)
    terms = task.terms(drawn, batch, 0)
    assert set(terms) == {"warp", "pyramid", "painted", "gradient", "structure", "choice"}
    by_hand = sum((picture - batch.driving).abs().mean() for picture in (drawn.out.projected, drawn.out.matched))
    # Of values in [-1, 1], which lie twice as far apart.
    torch.testing.assert_close(terms["warp"], 2 * by_hand)


def test_around_a_projected_face_there_is_nothing_to_compare(shards: Path, tmp_path: Path):
    task = started(read_config(recipe(tmp_path), [f"model.{change}" for change in PUBLISHED]), shards)
    batch = task.whole(task.batch(0, 2))
    with torch.no_grad():
        out = task.draw(task.network, batch).out
    assert out.shown is not None and 0 < float(out.shown.mean()) < 1
    plain = picture_losses(RhythmicLosses(), out, batch.driving, batch.weight)["warp"]
    other = torch.where(out.shown == 0, 1 - batch.driving, batch.driving)
    matched = replace(out, matched=batch.driving), replace(out, matched=other)
    face, same = (
        picture_losses(RhythmicLosses(), each, real, batch.weight)["warp"]
        for each, real in zip(matched, (batch.driving, other), strict=True)
    )
    torch.testing.assert_close(face, same)
    assert float(face) < float(plain)


def test_the_matched_reference_is_sometimes_a_worse_one(shards: Path, tmp_path: Path):
    """As section 4.1 says; in validation it is the nearest."""
    task = started(read_config(recipe(tmp_path), ["data.worse=0.5", "data.single=0"]), shards)
    cameras = torch.randn(400, 3, 6, generator=torch.Generator().manual_seed(0))
    camera = cameras[:, 1] + 0.01
    found = task._match(np.random.default_rng(0), camera, cameras)
    assert matched(camera, cameras).eq(1).all()
    assert 0.55 < float(found.eq(1).float().mean()) < 0.78  # half of them, and a third of the others by chance
    always = started(read_config(recipe(tmp_path), ["data.worse=0"]), shards)
    assert always._match(np.random.default_rng(0), camera, cameras).eq(1).all()


def test_a_batch_shows_one_reference_as_often_as_asked(shards: Path, tmp_path: Path):
    task = started(read_config(recipe(tmp_path), ["data.single=0.6"]), shards)
    shown = [task._shown(np.random.default_rng(seed)) for seed in range(200)]
    assert 0.5 < np.mean(np.array(shown) == 1) < 0.7 and set(shown) == {1, 2, 3}
    assert task._shown(None) == 3
    fixed = started(read_config(recipe(tmp_path), ['model.gate="all"']), shards)
    assert {fixed._shown(np.random.default_rng(seed)) for seed in range(20)} == {3}, "ConvGate has weights for all"


@pytest.mark.parametrize("switch", ["projection", "attention", "warping", "composition", "published"])
def test_a_step_with_each_switch(switch: str, shards: Path, tmp_path: Path):
    """The rows of the paper's ablation (table 3), and the published shape, at the smallest sizes."""
    settings = [f"model.{switch}=false"]
    if switch == "composition":
        settings += ["model.residual=false", "model.composite=false", "model.layers=false"]
    if switch == "published":
        settings = [f"model.{change}" for change in PUBLISHED]
    task = started(read_config(recipe(tmp_path), settings), shards)
    optimiser = torch.optim.Adam(task.network.parameters(), 1e-3)
    losses = task.losses(task.batch(0, 2), 0).losses
    torch.stack(list(losses.values())).sum().backward()
    before = [p.detach().clone() for p in task.network.parameters()]
    optimiser.step()
    assert all(np.isfinite(float(loss.detach())) for loss in losses.values())
    assert ("unprojection" in losses) is (switch == "published")
    changed = [not torch.equal(a, b) for a, b in zip(before, task.network.parameters(), strict=True)]
    assert sum(changed) > 0.9 * len(changed)


def test_the_unprojection_network_learns_the_tracker_s_mesh(shards: Path, tmp_path: Path):
    task = started(read_config(recipe(tmp_path), [f"model.{change}" for change in PUBLISHED]), shards)
    network, batch = task.network.unprojection, task.whole(task.batch(0, 2))
    optimiser = torch.optim.Adam(network.parameters(), 5e-3)
    errors = []
    for _ in range(60):
        loss = task.maps.loss(network(batch.references[:, 0]), batch.reference_faces[:, 0])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        errors.append(float(loss.detach()))
    assert errors[-1] < 0.3 * errors[0]


def test_settings_that_cannot_be_are_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match="worse"):
        read_config(recipe(tmp_path), ["data.worse=2"])
    with pytest.raises(ConfigError, match="perceptual_share"):
        read_config(recipe(tmp_path), ["losses.perceptual=1", "losses.perceptual_share=1"])
    with pytest.raises(ConfigError, match="pyramid"):
        read_config(recipe(tmp_path), ["losses.pyramid=0", "losses.perceptual_share=1"])


def weights_of(folder: Path) -> dict[str, Tensor]:
    return load(folder / "weights.safetensors").tensors


def trained(shards: Path, folder: Path, steps: int, settings: Sequence[str] = (), resume: bool = False) -> None:
    folder.mkdir(exist_ok=True)
    train(recipe(folder), shards, [*settings], steps=steps, out=folder / "run", device="cpu", resume=resume)


def test_a_run_that_stopped_ends_at_the_same_bits(shards: Path, tmp_path: Path):
    settings = ["validate_every_s=1000", "validate_frames=3"]
    trained(shards, tmp_path / "whole", 4, settings)
    trained(shards, tmp_path / "stopped", 2, settings)
    trained(shards, tmp_path / "stopped", 4, settings, resume=True)
    whole, stopped = tmp_path / "whole/run", tmp_path / "stopped/run"
    ours = weights_of(whole)
    assert all(torch.equal(ours[name], value) for name, value in weights_of(stopped).items())
    assert load(whole / "weights.safetensors").family == "rhythmic"
    assert len(list((whole / "sheets").glob("*.png"))) >= 1


def test_the_loss_of_one_batch_falls(shards: Path, tmp_path: Path):
    torch.manual_seed(0)
    task = started(read_config(recipe(tmp_path), ["judges={}"]), shards)
    optimiser = torch.optim.Adam(task.network.parameters(), 5e-3, betas=(0.5, 0.999))
    picks, totals = task.batch(0, 2), []
    for _ in range(60):
        total = torch.stack(list(task.losses(picks, 0).losses.values())).sum()
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
        totals.append(float(total.detach()))
    assert totals[-1] < 0.75 * totals[0]
