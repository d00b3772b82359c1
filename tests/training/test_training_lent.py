"""What a run on a lent GPU adds: clips on the device, mirrored pairs, a judge of mouths, schedules by time."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from made import made_shards
from made_tables import invented_table
from visavis.core.errors import ConfigError
from visavis.face.mirror import mirror_mesh
from visavis.generators.avfr.config import AvfrConfig
from visavis.training.checkpoint import last_checkpoint
from visavis.training.config import TrainConfig, read_config
from visavis.training.data.dataset import Batch, Draw
from visavis.training.data.resident import Picks
from visavis.training.losses import LossWeights
from visavis.training.machine import OneDevice
from visavis.training.mouth import edge_strength, mouth_crop
from visavis.training.pace import Pace
from visavis.training.run import train
from visavis.training.tasks.avfr import AvfrTask
from visavis.training.trainer import Trainer, learning_rate_share
from visavis.weights.checkpoint import load

CPU = torch.device("cpu")
TOML = 'batch = 2\nstride = 1\nlog_every = 1\ncheckpoint_every_s = 0.0\nmirrored = 0.5\n[model]\npreset = "tiny"\n'
JUDGED = LossWeights(adversarial=0.08, adversarial_mouth=0.08, feature_matching=1.0, adversarial_from=0.25)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_shards(tmp_path_factory.mktemp("data") / "shards", clips=3)


@pytest.fixture(scope="module")
def lite0(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "lite0.pth"
    torch.save(invented_table(), path)
    return path


def task_of(shards: Path, **settings: object) -> AvfrTask:
    config = TrainConfig(**{"model": AvfrConfig.tiny(), "losses": LossWeights(), "stride": 1, "batch": 2, **settings})
    return AvfrTask.start(config, shards, {}, lambda line: None)


@pytest.mark.parametrize("mirrored", [0.0, 0.5])
def test_a_batch_from_the_device_is_the_batch_that_threads_make(shards: Path, mirrored: float):
    task = task_of(shards, memory="device", mirrored=mirrored, seed=3)
    threads = task.batch(5, 8)
    assert isinstance(threads, Batch)
    task.to(CPU)
    picks = task.batch(5, 8)
    assert isinstance(picks, Picks) and task.resident is not None
    gathered = task.resident.gather(picks)
    level = 1 / 255 + 1e-6
    limits = {"source": 1e-6, "driving": 1e-6, "source_mesh": 0, "driving_mesh": 0, "mel": 0, "mouth": 0, "number": 0}
    limits |= {"source_prior": level, "driving_prior": level, "weight": task.pairs.region_weight * level}
    for name, value in vars(threads).items():
        assert value.shape == getattr(gathered, name).shape, name
        assert float((value - getattr(gathered, name)).abs().max()) <= limits[name], name
    if mirrored:
        assert 0 < int(picks.mirrored.sum()) < 8


def test_auto_keeps_clips_on_the_host_where_there_is_no_gpu(shards: Path):
    task = task_of(shards, memory="auto")
    task.to(CPU)
    assert task.resident is None


def test_draws_without_mirrors_are_those_of_former_runs(shards: Path):
    """The draw of the mirror comes last, so that recipes without it see the batches that they always saw."""
    plain, mirrored = (task_of(shards, mirrored=share).pairs.draws(0, 1)[0] for share in (0.0, 1.0))
    assert (plain.clip, plain.source, plain.driving) == (mirrored.clip, mirrored.source, mirrored.driving)
    assert (plain.gain == mirrored.gain).all()
    assert mirrored.mirrored and not plain.mirrored


def test_a_mirrored_pair_is_the_pair_in_a_mirror(shards: Path):
    """Pictures and masks are flipped, meshes are those of the mirrored face, and the sound is the same."""
    task = task_of(shards, mirrored=1.0)
    pairs, gain = task.pairs, np.ones(3, np.float32)
    plain, mirrored = pairs.made([Draw(0, 1, 2, gain)]), pairs.made([Draw(0, 1, 2, gain, mirrored=True)])
    assert torch.equal(plain.driving.flip(3), mirrored.driving)
    assert torch.equal(plain.source_prior[:, 1].flip(2), mirrored.source_prior[:, 1])
    assert torch.equal(plain.mel, mirrored.mel)
    wanted = pairs.model.fit(mirror_mesh(pairs.clips[0].mesh[2]))
    assert torch.allclose(mirrored.driving_mesh[0], torch.from_numpy(wanted), atol=1e-4)


def test_meshes_fitted_at_once_are_those_fitted_one_by_one(shards: Path):
    pairs = task_of(shards).pairs
    one_by_one = np.stack([pairs.model.fit(mesh) for mesh in pairs.clips[1].mesh])
    np.testing.assert_allclose(pairs.model.fit_all(pairs.clips[1].mesh), one_by_one, atol=1e-4)


def test_the_crop_of_a_mouth_is_its_very_pixels_and_stays_inside():
    picture = torch.rand(3, 3, 64, 64, requires_grad=True)
    crop = mouth_crop(picture, torch.tensor([[0.0, 0.25], [0.99, 0.99], [-3.0, 0.0]]))
    assert torch.allclose(crop[0], picture[0, :, 32:48, 24:40], atol=1e-5)
    assert torch.allclose(crop[1], picture[1, :, 48:, 48:], atol=1e-5)
    assert torch.allclose(crop[2], picture[2, :, 24:40, :16], atol=1e-5)
    crop.sum().backward()
    assert picture.grad is not None
    assert float(picture.grad[0].sum()) == pytest.approx(3 * 16 * 16, rel=1e-4)


def test_edges_of_a_blurred_picture_are_weaker():
    picture = torch.rand(1, 3, 16, 16)
    blurred = torch.nn.functional.avg_pool2d(picture, 3, 1, 1)
    assert float(edge_strength(blurred)) < 0.5 * float(edge_strength(picture))


def test_judges_join_after_their_share_of_the_run(shards: Path):
    """Both learn, the picture's and the mouth's; before, there is none of their terms and they stay as they were."""
    task = task_of(shards, losses=JUDGED, steps=8, memory="device")
    trainer = Trainer(task.config, task, OneDevice())
    assert task.judge is not None
    before = {name: value.clone() for name, value in task.judge.named_parameters()}
    names = [set(trainer.step([task.batch(step, 2)])) for step in range(3)]
    terms = {"adversarial", "feature_matching", "discriminator"}
    assert not terms & names[0] and not terms & names[1]
    assert terms <= names[2]
    for part in ("picture", "mouth"):
        assert any(not torch.equal(v, before[n]) for n, v in task.judge.named_parameters() if n.startswith(part))


def test_the_perceptual_term_is_measured_to_its_share_of_the_l1_term(shards: Path, lite0: Path):
    losses = LossWeights(perceptual_share=0.6, perceptual_mouth=0.5)
    task = task_of(shards, losses=losses, perceptual=str(lite0), batch=8)
    before = {name: value.clone() for name, value in task.network.state_dict().items()}
    found = [task.losses(task.batch(number, 8), number).losses for number in range(4)]
    sums = {name: sum(float(losses[name].detach()) for losses in found) for name in ("perceptual", "l1")}
    share = sums["perceptual"] / sums["l1"]
    assert share == pytest.approx(0.6, rel=0.1)
    assert "perceptual.weight" in task.fixed()
    changed = [n for n, v in task.network.state_dict().items() if not torch.equal(v, before[n]) and "running" not in n]
    assert all("num_batches" in name for name in changed)


def test_a_run_with_all_of_it_resumes_to_the_same_bits(shards: Path, lite0: Path, tmp_path: Path):
    """A schedule by steps, so that the clock decides nothing: weight measured, judges, mirrors and device memory."""
    text = TOML.replace(
        "[model]", f'memory = "device"\nperceptual = "{lite0}"\n[losses]\nperceptual_share = 0.6\n[model]'
    )
    text = text.replace(
        "[losses]\n", "[losses]\nperceptual_mouth = 0.5\nadversarial = 0.08\nadversarial_mouth = 0.08\n"
    )
    (tmp_path / "run.toml").write_text(text.replace("[losses]\n", "[losses]\nadversarial_from = 0.5\n"))
    train(tmp_path / "run.toml", shards, steps=4, out=tmp_path / "whole", device="cpu")
    train(tmp_path / "run.toml", shards, ["stop_after_s=1e-6"], steps=4, out=tmp_path / "parts", device="cpu")
    train(tmp_path / "run.toml", shards, steps=4, resume=True, out=tmp_path / "parts", device="cpu")
    for name in ("weights.safetensors", "state.safetensors"):
        whole, parts = (load_state(last_checkpoint(tmp_path / run) / name) for run in ("whole", "parts"))
        assert whole.keys() == parts.keys()
        assert [key for key in whole if not torch.equal(whole[key], parts[key])] == []
    assert "fixed.perceptual.weight" in whole


def load_state(path: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(path)


def test_time_decides_the_schedule_and_what_was_used_counts(monkeypatch: pytest.MonkeyPatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    config = TrainConfig(schedule="cosine", schedule_by="time", stop_after_s=60.0, warm_up=1)
    pace = Pace(config)
    pace.start(began=90.0)  # ten of the sixty seconds went into reading the data
    assert pace.done(7) == 0
    now[0] += 25
    assert pace.done(7) == pytest.approx(0.5)
    assert learning_rate_share(config, 7, pace.done(7)) == pytest.approx(0.5)
    now[0] += 25
    assert pace.done(7) == 1
    assert learning_rate_share(config, 7, 1.0) == pytest.approx(0)
    again = Pace(replace(config, run_s=200.0), used_s=pace.used_s())
    again.start()
    assert again.done(8) == pytest.approx(50 / 200)
    assert again.left_s(8, 0.1) == pytest.approx(150)
    with pytest.raises(ConfigError, match="stop_after_s"):
        Pace(replace(config, stop_after_s=0.0)).start()


def test_a_run_by_time_ends_with_its_time_and_goes_on_where_it_was(shards: Path, tmp_path: Path):
    (tmp_path / "run.toml").write_text('schedule = "cosine"\nschedule_by = "time"\n' + TOML)
    out = tmp_path / "run"
    first = train(tmp_path / "run.toml", shards, ["run_s=1e9", "stop_after_s=1e-6"], out=out, device="cpu")
    used = load(out / "weights.safetensors", tensors=False).meta["seconds"]
    assert first is not None and first.steps == 1 and used > 0
    second = train(tmp_path / "run.toml", shards, [f"run_s={used + 0.2}"], out=out, resume=True, device="cpu")
    assert second is not None and 1 < second.steps < 20_000
    assert load(out / "weights.safetensors", tensors=False).meta["seconds"] >= used + 0.2


def test_validation_is_in_the_log_and_says_what_a_perfect_network_would_get(shards: Path, tmp_path: Path):
    made = made_shards(tmp_path / "val", clips=2)
    for path in made.glob("*.tar"):
        from visavis.data.shards import ShardWriter, read_one

        records = list(read_one(path))
        path.unlink()
        with ShardWriter(made, 1 << 30, lambda names: None) as writer:
            for number, record in enumerate(records):
                writer.add(replace(record, info={**record.info, "split": ("train", "val")[number]}))
    (tmp_path / "run.toml").write_text("validate_every_s = 1e-6\n" + TOML)
    train(tmp_path / "run.toml", made, steps=2, out=tmp_path / "run", device="cpu")
    lines = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    found = [line["validation"] for line in lines if "validation" in line]
    assert len(found) == 3  # before the first step, and after each
    assert all(value.keys() == {"psnr", "l1", "mouth_sharpness"} for value in found)
    task = task_of(made, validate_every_s=1.0, memory="device")
    assert task.validation is not None
    for _ in range(2):  # from the host, then from the device
        perfect = task.validation.measure(lambda batch: batch.driving, CPU)
        assert perfect == {"psnr": 100.0, "l1": 0.0, "mouth_sharpness": 1.0}
        task.to(CPU)


def test_settings_that_contradict_each_other_are_refused():
    for losses, match in (
        ({"adversarial_mouth": 0.1}, "adversarial"),
        ({"perceptual": 0.1, "perceptual_share": 0.6}, "set one"),
        ({"l1": 0.0, "perceptual_share": 0.6}, "'l1'"),
        ({"adversarial": 0.1, "adversarial_from": 1.0}, "below 1"),
    ):
        with pytest.raises(ConfigError, match=match):
            LossWeights(**losses)


def test_the_recipe_for_a_lent_gpu_is_the_packaged_network_by_the_clock():
    config = read_config(Path(__file__).parents[2] / "src/visavis/training/recipes/avfr-256-gpu.toml")
    assert config.model == AvfrConfig.compact256()
    assert (config.start_from, config.schedule_by, config.mirrored) == ("avfr-256", "time", 0.5)
    assert (config.losses.perceptual_share, config.losses.adversarial_from) == (0.6, 0.1)
