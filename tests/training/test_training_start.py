"""A run may begin with the weights of an earlier one: it draws as they do, and keeps the face that they know."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from made import made_shards, run, tiny_mesh, tiny_weights
from visavis.core.errors import ConfigError, WeightsError
from visavis.enhance.interpolation import Interpolator
from visavis.enhance.super_resolution import Enlarger
from visavis.face.morphable import LinearFaceModel
from visavis.generators.avfr.config import AvfrConfig
from visavis.generators.avfr.generator import AvfrGenerator
from visavis.generators.avfr.network import AvfrNetwork
from visavis.judges.face_network import FaceNetwork
from visavis.judges.mouth_sync import MouthSync
from visavis.motion.speech.network import SpeakerNetwork
from visavis.training.checkpoint import last_checkpoint
from visavis.training.config import TrainConfig, read_config
from visavis.training.losses import LossWeights
from visavis.training.run import train
from visavis.training.start import find_start
from visavis.training.tasks.avfr import AvfrTask
from visavis.weights.checkpoint import load, save, sha256
from visavis.weights.network import load_network
from visavis.weights.store import resolve

RECIPES = Path(__file__).parents[2] / "src/visavis/training/recipes"
TOML = 'batch = 2\nstride = 1\nlog_every = 1\ncheckpoint_every_s = 0.0\n[model]\npreset = "tiny"\n'


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_shards(tmp_path_factory.mktemp("data") / "shards")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "run.toml"
    path.write_text(TOML)
    return path


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A network with a face model that no data would give: a sphere, and a basis of noise, in fp16 as packaged."""
    torch.manual_seed(1)
    generator = AvfrGenerator(AvfrConfig.tiny())
    generator.network.mesh_model.mean.copy_(torch.from_numpy(tiny_mesh()))
    generator.network.mesh_model.basis.normal_(0, 0.01)
    path = tmp_path / "earlier.safetensors"
    save(path, generator.network.state_dict(), family="avfr", config=generator.plain_config, half=True)
    return path


def drawn(path: Path) -> torch.Tensor:
    """What a network of the smallest shape makes of the same noise."""
    network = load_network(path, "avfr", AvfrConfig, AvfrNetwork)
    chance = torch.Generator().manual_seed(0)
    source, prior, mel = (torch.rand(1, *shape, generator=chance) for shape in ((3, 64, 64), (2, 64, 64), (1, 80, 20)))
    still, moved = (network.detect(source, prior, torch.full((1, 10), value)) for value in (0.0, 0.1))
    return network.render(network.encode(source, still, prior), moved, prior[:, :1], mel).picture


def test_a_run_draws_as_the_weights_that_it_starts_from(
    config: Path, shards: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Before its first step: the averaged network and the one that learns hold them alike."""

    def no_step(trainer: Any, *, checkpoint: Any, **_: Any) -> None:
        assert trainer.steps_done == 0 and not trainer.optimiser.state
        for name, tensor in trainer.task.network.state_dict().items():
            assert torch.equal(tensor, trainer.averaged.state_dict()[name]), name
        checkpoint()

    monkeypatch.setattr("visavis.training.run.run_loop", no_step)
    for name, settings in (("new", []), ("started", [f"start_from={weights}"])):
        train(config, shards, settings, out=tmp_path / name, device="cpu")
    assert torch.equal(drawn(tmp_path / "started/weights.safetensors"), drawn(weights))
    assert not torch.equal(drawn(tmp_path / "new/weights.safetensors"), drawn(weights))


def test_the_face_model_is_that_of_the_weights(config: Path, shards: Path, weights: Path, tmp_path: Path):
    """Meshes are coded by the basis that the network knows, and the run keeps it, whatever its data would give."""
    theirs = load(weights).tensors
    settings = TrainConfig(model=AvfrConfig.tiny(), losses=LossWeights(), stride=1, start_from=str(weights))
    start = find_start(settings)
    assert start is not None
    task = AvfrTask.start(settings, shards, start.fixed, lambda line: None)
    model = LinearFaceModel(*(theirs[f"mesh_model.{part}"].float().numpy() for part in ("mean", "basis")))
    clip = task.pairs.clips[0]
    np.testing.assert_array_equal(task.pairs.values[0], model.fit_all(clip.mesh))
    train(config, shards, [f"start_from={weights}"], steps=1, out=tmp_path / "run", device="cpu")
    kept, state = (
        load(tmp_path / "run/weights.safetensors").tensors,
        load_file(last_checkpoint(tmp_path / "run") / "state.safetensors"),
    )
    for part in ("mean", "basis"):
        assert torch.equal(kept[f"mesh_model.{part}"], theirs[f"mesh_model.{part}"].float())
        assert torch.equal(state[f"fixed.face.{part}"], kept[f"mesh_model.{part}"])


def test_a_started_run_goes_on_to_the_same_bits_without_the_file(
    config: Path, shards: Path, weights: Path, tmp_path: Path
):
    setting, digest = [f"start_from={weights}"], sha256(weights)
    train(config, shards, setting, steps=4, out=tmp_path / "whole", device="cpu")
    out = tmp_path / "parts"
    train(config, shards, [*setting, "stop_after_s=0.000001"], steps=4, out=out, device="cpu")
    assert load(out / "weights.safetensors", tensors=False).meta["steps"] < 4
    weights.unlink()
    train(config, shards, setting, steps=4, resume=True, out=out, device="cpu")
    whole, parts = load(tmp_path / "whole/weights.safetensors"), load(out / "weights.safetensors")
    assert whole.meta == parts.meta and parts.meta["start_from"] == f"earlier.safetensors ({digest[:12]})"
    for name, tensor in whole.tensors.items():
        assert torch.equal(tensor, parts.tensors[name]), name
    assert json.loads((out / "run.json").read_text())["start_from"] == {"name": str(weights), "sha256": digest}


def test_a_run_is_not_resumed_with_another_start(config: Path, shards: Path, weights: Path, tmp_path: Path):
    out = tmp_path / "run"
    train(config, shards, [f"start_from={weights}"], steps=1, out=out, device="cpu")
    for other in ("avfr-256", ""):
        with pytest.raises(ConfigError, match=r"was started with start_from = .*earlier\.safetensors"):
            train(config, shards, [f'start_from="{other}"'], steps=2, resume=True, out=out, device="cpu")
    before = json.loads((out / "run.json").read_text())
    del before["config"]["start_from"]  # as of a run that began before there was the setting
    (out / "run.json").write_text(json.dumps(before))
    with pytest.raises(ConfigError, match="was started with start_from"):
        train(config, shards, [f"start_from={weights}"], steps=2, resume=True, out=out, device="cpu")


def test_weights_of_another_family_or_shape_are_refused_in_one_line(
    config: Path, shards: Path, weights: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    verb = ["train", config, "--data", shards, "--out", tmp_path / "run", "--device", "cpu", "--start-from"]
    refused = {
        "sync-96": ["family 'sync'", "task 'avfr'"],
        "avfr-256": ["size = 256", "size = 64", "keypoints = 10", "keypoints = 3", "more differ"],
        "nobody": ["no weights named 'nobody'", "avfr-256"],
        tmp_path / "gone.safetensors": ["gone.safetensors: no such"],
    }
    for name, parts in refused.items():
        assert run([*verb, name]) == 1
        lines = [line for line in capfd.readouterr().err.splitlines() if "rror" in line or str(name) in line]
        assert len(lines) == 1 and all(part in lines[0] for part in parts), lines
    assert not (tmp_path / "run").exists(), "a run that cannot begin leaves nothing"


def test_damaged_weights_are_refused_by_name(config: Path, shards: Path, weights: Path, tmp_path: Path):
    good = load(weights)
    less = {name: tensor for name, tensor in good.tensors.items() if name != "mesh_model.mean"}
    other = {**good.tensors, "mesh_model.basis": torch.zeros(2, 478, 3)}
    for tensors, shape, match in (
        (good.tensors, {"wingspan": 3}, "describes no network"),
        (less, good.config, "lacks mesh_model.mean"),
        (other, good.config, "another shape for mesh_model.basis"),
    ):
        save(weights, tensors, family="avfr", config=shape)
        with pytest.raises(WeightsError, match=match):
            train(config, shards, [f"start_from={weights}"], out=tmp_path / "run", device="cpu")


def test_the_option_is_the_setting(config: Path, shards: Path, tmp_path: Path):
    weights = tiny_weights(tmp_path / "tiny.safetensors")
    out = tmp_path / "run"
    verb = ["train", config, "--data", shards, "--out", out, "--device", "cpu", "--steps", 1]
    assert run([*verb, "--start-from", weights]) == 0
    assert json.loads((out / "run.json").read_text())["config"]["start_from"] == str(weights)


@pytest.mark.parametrize("task", ["keypoint", "face"])
def test_other_tasks_start_from_weights_too(task: str, shards: Path, tmp_path: Path):
    """What belongs to the data is new: the second face network tells one person more apart than the first."""
    config = tmp_path / "run.toml"
    config.write_text(f'task = "{task}"\n{TOML}')
    train(config, shards, steps=1, out=tmp_path / "first", device="cpu")
    first = tmp_path / "first/weights.safetensors"
    more = made_shards(tmp_path / "more", clips=3)
    still = ["learning_rate=1e-30", f"start_from={first}"]
    train(config, more, still, steps=1, out=tmp_path / "second", device="cpu")
    before, after = (load(path).tensors for path in (first, tmp_path / "second/weights.safetensors"))
    assert before.keys() == after.keys()
    for name in before.keys() - {"identities"}:
        assert "running_" in name or "num_batches" in name or torch.equal(before[name], after[name]), name
    if task == "face":
        assert (len(before["identities"]), len(after["identities"])) == (2, 3)


@pytest.mark.parametrize(
    ("recipe", "name", "make"),
    [
        ("avfr-256-finetune", "avfr-256", AvfrNetwork),
        ("face-128", "face-128", FaceNetwork),
        ("speaker-25-cpu", "speaker-25", SpeakerNetwork),
        ("sync-96", "sync-96", MouthSync),
        ("between-256", "between-256", Interpolator),
        ("enlarge-2x", "enlarge-2x", Enlarger),
    ],
)
def test_every_packaged_network_can_be_trained_further_with_its_recipe(recipe: str, name: str, make: type[nn.Module]):
    config = read_config(RECIPES / f"{recipe}.toml", [f"start_from={name}"])
    start = find_start(config)
    assert start is not None and start.mark().startswith(f"{name} (")
    network = make(config.model)
    start.load_into(network)
    tensors = network.state_dict()
    for key, tensor in load(resolve(name)).tensors.items():
        if key in start.own:
            continue
        assert torch.equal(tensors[key], tensor.to(tensors[key].dtype)), key
