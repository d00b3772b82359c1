"""From drawn clips to trained weights: shards, batches, losses, steps, and going on after a stop."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from visavis.audio.feature import MEL_WINDOW
from visavis.audio.mel import RATE_HZ
from visavis.audio.window import SoundWindow
from visavis.core.errors import ConfigError, WeightsError
from visavis.data.prepare.run import prepare
from visavis.data.shards import Priors, read
from visavis.drawn.synthetic import write_clip
from visavis.face.types import Observation
from visavis.generators.avfr.config import AvfrConfig
from visavis.generators.base import family_of
from visavis.judges.perceptual.face import FaceDistance
from visavis.media.reader import SoundReader
from visavis.motion.keypoints import KeypointMotion
from visavis.nn.engine import Engine
from visavis.nn.warp import coordinate_grid, sample
from visavis.pipelines.load import load_generator
from visavis.training.config import TrainConfig, read_config
from visavis.training.data.dataset import Batch
from visavis.training.loop import batches
from visavis.training.losses import (
    Deformation,
    LossWeights,
    equivariance,
    pyramid_l1,
    structure_loss,
    texture_l1,
)
from visavis.training.machine import OneDevice
from visavis.training.run import train
from visavis.training.tasks.avfr import AvfrTask
from visavis.training.trainer import Trainer
from visavis.weights.checkpoint import load

TOML = """
batch = 2
stride = 2
log_every = 1
checkpoint_every_s = 0.0
[model]
size = 64
keypoints = 3
mesh_motion = true
align_identity = true
composite = true
mesh_coefficients = 4
channels = 8
detector_width = 4
detector_blocks = 2
detector_max = 16
motion_width = 4
motion_blocks = 2
motion_max = 16
widths = [4, 6, 8]
bottleneck_blocks = 1
condition_channels = 4
modulation_kernel = 1
"""


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards of two drawn people, one in the usual form and one that has to be cropped and resampled."""
    folder = tmp_path_factory.mktemp("clips")
    write_clip(folder / "a.mp4", 0.4, seed=1, size=256)
    write_clip(folder / "b.mp4", 0.4, seed=2, size=320, fps=Fraction(30))
    output = folder.parent / f"{folder.name}-shards"
    report = prepare(folder, output)
    assert (report.clips, report.failed, report.frames_without_face) == (2, {}, 0)
    return output


def tiny_run(folder: Path) -> Path:
    path = folder / "run.toml"
    path.write_text(TOML)
    return path


def test_mel_of_a_shard_is_the_mel_of_the_stream(shards: Path, tmp_path: Path):
    record = next(read(shards))
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(record.video)
    priors = Priors.decode(record.priors)
    assert priors.mel is not None
    with SoundReader(clip, RATE_HZ) as sound:
        window = SoundWindow(sound, MEL_WINDOW)
        for frame in range(0, 10, 3):
            streamed = window.at(Fraction(frame, 25))
            np.testing.assert_allclose(priors.mel[:, 4 * frame : 4 * frame + 20], streamed, atol=1 / 255)


def test_priors_survive_coding_within_their_step():
    rng = np.random.default_rng(0)
    mesh = rng.uniform(-1, 1, (5, 478, 3)).astype(np.float32)
    masks = rng.integers(0, 256, (5, 64, 64)).astype(np.uint8)
    mel = rng.uniform(0, 1, (80, 36)).astype(np.float32)
    back = Priors.decode(Priors(np.ones(5, bool), mesh, masks, mel).encode())
    assert np.abs(back.mesh - mesh).max() <= 0.5 / 1024 + 1e-6
    assert np.abs(back.segmentation.astype(int) - masks).max() <= 9
    assert back.mel is not None
    assert np.abs(back.mel - mel).max() <= 0.5 / 255 + 1e-6


def test_a_batch_depends_on_its_number_alone(shards: Path):
    config = TrainConfig(model=AvfrConfig.tiny(), losses=LossWeights(), seed=3, stride=2)
    task = AvfrTask.start(config, shards, {}, print)
    streamed = list(batches(task, range(3), 2, threads=2))
    again = task.batch(2, 2)
    assert isinstance(streamed[1], Batch) and isinstance(streamed[2], Batch)
    assert torch.equal(streamed[2].source, again.source)
    assert torch.equal(streamed[2].driving_mesh, again.driving_mesh)
    assert not torch.equal(streamed[1].driving, again.driving)
    assert float(again.weight.max()) > 2
    assert float(again.weight.min()) >= 1


def test_equivariance_is_zero_for_points_that_follow_the_deformation():
    deformation = Deformation.random(2, torch.Generator().manual_seed(0), torch.device("cpu"))
    deformed = KeypointMotion(torch.rand(2, 4, 2) - 0.5, torch.eye(2).expand(2, 4, 2, 2))
    original = KeypointMotion(deformation.at(deformed.points), deformation.jacobian(deformed.points))
    points, frames = equivariance(original, deformed, deformation)
    assert float(points) < 1e-6
    assert float(frames) < 1e-4


def test_a_deformation_moves_pixels_as_it_moves_points():
    """A spot at a known place is found where the grid says, so points and pictures share one convention."""
    deformation = Deformation.random(1, torch.Generator().manual_seed(1), torch.device("cpu"))
    grid = deformation.grid(128)
    at = torch.tensor([[[0.2, -0.1]]])
    original = torch.exp(-((coordinate_grid(128, 128, align_corners=False) - deformation.at(at)) ** 2).sum(-1) / 0.005)
    deformed = sample(original[None, None], grid)
    weights = deformed[0, 0] / deformed.sum()
    centre = (weights[..., None] * coordinate_grid(128, 128, align_corners=False)).sum((0, 1))
    assert torch.allclose(centre, at[0, 0], atol=0.02)


def test_losses_vanish_for_equal_pictures_and_weigh_regions():
    picture = torch.rand(1, 3, 64, 64)
    weight = torch.ones(1, 1, 64, 64)
    assert float(pyramid_l1(picture, picture, weight)) == 0
    assert float(structure_loss(picture, picture)) == pytest.approx(0, abs=1e-5)
    wrong = picture.clone()
    wrong[..., :32, :32] += 0.5
    heavy = weight.clone()
    heavy[..., :32, :32] = 3
    assert pyramid_l1(wrong, picture, heavy) > pyramid_l1(wrong, picture, weight)


def test_texture_asks_for_sharpness_and_not_for_the_place_of_edges():
    """A shifted picture is as sharp as the truth, the mean of both is not: L1 of colours says the opposite."""
    truth = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    shifted = truth.roll(1, 3)
    mean = (truth + shifted) / 2
    assert float(texture_l1(truth, truth)) == 0
    assert texture_l1(mean, truth) > 5 * texture_l1(shifted, truth)
    assert (mean - truth).abs().mean() < (shifted - truth).abs().mean()


def test_every_loss_of_the_paper_reaches_the_network(shards: Path):
    """With the GAN on, both networks learn; equivariance alone reaches the detector."""
    weights = LossWeights(adversarial=1.0, feature_matching=1.0)
    config = TrainConfig(model=AvfrConfig.tiny(), losses=weights, steps=10, stride=2)
    task = AvfrTask.start(config, shards, {}, print)
    trainer = Trainer(config, task, OneDevice())
    assert task.judge is not None
    before = [p.clone() for p in task.judge.parameters()]
    losses = trainer.step([task.batch(0, 2)])
    expected = {"l1", "equivariance_points", "equivariance_jacobians", "adversarial", "feature_matching"}
    assert expected | {"discriminator"} <= losses.keys()
    assert all(torch.isfinite(loss) for loss in losses.values())
    assert any(not torch.equal(a, b) for a, b in zip(before, task.judge.parameters(), strict=True))


def test_a_run_says_which_perceptual_network_it_used(shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Without published weights in torch's cache, the packaged face network stands in under its own name."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    config = TrainConfig(model=AvfrConfig.tiny(), losses=LossWeights(perceptual=1.0), stride=5)
    task = AvfrTask.start(config, shards, {}, print)
    assert task.meta()["perceptual"] == "face-128"
    outcome = task.losses(task.batch(0, 2), 0)
    assert float(outcome.losses["perceptual"].detach()) > 0
    with pytest.raises(WeightsError, match=r"nowhere\.pth: no such"):
        AvfrTask.start(replace(config, perceptual="nowhere.pth"), shards, {}, print)
    for name, settings in (("face-128", ["losses.perceptual=1.0"]), ("none", [])):
        train(tiny_run(tmp_path), shards, settings, steps=1, out=tmp_path / name, device="cpu")
        assert load(tmp_path / name / "weights.safetensors", tensors=False).meta["perceptual"] == name
    other = FaceDistance.from_file()
    other.name = "lpips"  # as when its weights came into the cache since
    monkeypatch.setattr("visavis.training.perceived.choose", lambda *_: other)
    with pytest.raises(ConfigError, match="perceptual network 'face-128', and here is 'lpips'"):
        settings = ["losses.perceptual=1.0"]
        train(tiny_run(tmp_path), shards, settings, steps=2, resume=True, out=tmp_path / "face-128", device="cpu")


def test_a_resumed_run_ends_where_an_uninterrupted_one_does(shards: Path, tmp_path: Path):
    config = tiny_run(tmp_path)
    train(config, shards, steps=4, out=tmp_path / "whole", device="cpu")
    train(config, shards, ["stop_after_s=0.000001"], steps=4, out=tmp_path / "parts", device="cpu")
    progress = json.loads((tmp_path / "parts/progress.json").read_text())
    assert 1 <= progress["steps"] < 4
    train(config, shards, steps=4, resume=True, out=tmp_path / "parts", device="cpu")
    whole = load(tmp_path / "whole/weights.safetensors")
    parts = load(tmp_path / "parts/weights.safetensors")
    assert whole.meta["steps"] == parts.meta["steps"] == 4
    for name, tensor in whole.tensors.items():
        assert torch.equal(tensor, parts.tensors[name]), name


def test_a_folder_that_holds_a_run_is_not_overwritten(shards: Path, tmp_path: Path):
    config = tiny_run(tmp_path)
    train(config, shards, steps=1, out=tmp_path / "run", device="cpu")
    with pytest.raises(ConfigError, match="--resume"):
        train(config, shards, steps=1, out=tmp_path / "run", device="cpu")


def test_a_keypoint_run_gives_weights_that_reenact(shards: Path, tmp_path: Path):
    """The same loop trains another family; its weights are loaded by name of the file alone."""
    config = tmp_path / "run.toml"
    config.write_text('task = "keypoint"\nbatch = 2\nstride = 2\nlog_every = 1\n[model]\npreset = "tiny"\n')
    report = train(config, shards, steps=2, out=tmp_path / "run", device="cpu")
    assert report is not None
    generator = load_generator(report.weights, Engine("cpu"))
    assert (generator.family, generator.size) == ("keypoint", 64)
    seen = Observation(np.zeros((64, 64, 3), np.uint8))
    assert generator.prepare([seen]).render([generator.analyse(seen)], None).shape == (64, 64, 3)
    assert cv2.imread(str(tmp_path / "run/sheets/step-00000002.png")).shape == (2 * 64, 3 * 64, 3)


RECIPES = Path(__file__).parents[2] / "src/visavis/training/recipes"


def test_shipped_recipes_are_valid():
    recipes = {path.name: read_config(path) for path in RECIPES.glob("*.toml")}
    assert recipes["avfr-256-cpu.toml"].model == AvfrConfig.compact256()
    assert recipes["avfr-paper-256.toml"].model == AvfrConfig.paper256()
    assert recipes["avfr-paper-256.toml"].schedule == "paper"


def test_the_rows_of_the_ablation_differ_in_their_network_alone():
    rows = {path.stem: read_config(path) for path in sorted((RECIPES / "ablation").glob("[0-9]*.toml"))}
    assert len(rows) == 6
    assert len({replace(row, model=None, task="") for row in rows.values()}) == 1
    baseline, *ours = rows.values()
    assert baseline.task == "keypoint"
    parts = ("structural_prior", "sound", "identity_aware", "mesh_motion", "composite")
    switched = [tuple(getattr(row.model, part) for part in parts) for row in ours]
    assert switched == [tuple(i <= last for i in range(5)) for last in range(5)]


def test_the_rows_of_the_ablation_cost_the_same():
    """Within a tenth, in multiply-accumulates a driving frame, so that no row wins by being larger."""
    costs = []
    for path in sorted((RECIPES / "ablation").glob("[0-9]*.toml")):
        config = read_config(path)
        costs.append(family_of(config.task).cost_of(asdict(config.model)).gmac["per_frame"]["total"])
    assert max(costs) < 1.1 * min(costs)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ('task = "sing"', "sing.*avfr"),
        ('[model]\npreset = "huge"', "huge.*compact256"),
        ("[model]\nwingspan = 3", "model.wingspan"),
        ('task = "keypoint"\n[model]\nsound = true', "model.sound"),
        ("[losses]\nl7 = 1.0", "losses.l7"),
        ("model = 3", "table"),
        ('extends = "run.toml"', "extends"),
    ],
)
def test_what_a_task_does_not_know_is_refused(text: str, match: str, tmp_path: Path):
    path = tmp_path / "run.toml"
    path.write_text(text + "\n")
    with pytest.raises(ConfigError, match=match):
        read_config(path)


def test_a_preset_is_changed_key_by_key(tmp_path: Path):
    (tmp_path / "base.toml").write_text("steps = 7\nbatch = 3\n[losses]\nl1 = 2.0\nwarp = 1.0\n")
    (tmp_path / "run.toml").write_text(
        'extends = "base.toml"\nbatch = 4\n[losses]\nwarp = 0.0\n[model]\npreset = "tiny"\n'
    )
    config = read_config(tmp_path / "run.toml", ["model.sound=false"])
    assert config.model == replace(AvfrConfig.tiny(), sound=False)
    assert (config.steps, config.batch, config.losses.l1, config.losses.warp) == (7, 4, 2.0, 0.0)
