"""HeadGAN from shards to weights: windows of frames, losses of the paper, judges by name, going on after a stop."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import visavis.training
from made_heads import SOUND, TINY, head_record, sphere_face, write_heads
from visavis.core.config import build
from visavis.core.errors import ConfigError
from visavis.face.mirror import mirror_mesh
from visavis.generators.headgan.config import HeadganConfig
from visavis.generators.headgan.network import HeadganNetwork
from visavis.training.config import TrainConfig, from_values, read_config
from visavis.training.data.gathered import Gathered, one_draw
from visavis.training.data.windows import Loader, Windows, between
from visavis.training.head_losses import HeadganLosses, temporal_l1
from visavis.training.panel import JudgeConfig, Panel
from visavis.training.run import train
from visavis.training.start import find_start
from visavis.training.tasks import headgan
from visavis.training.tasks.headgan import HeadganTask
from visavis.weights.checkpoint import load
from visavis.weights.store import resolve

RECIPES = Path(visavis.training.__file__).parent / "recipes"


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("heads")
    write_heads(folder)
    return folder


@pytest.fixture(autouse=True)
def drawn_face(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a sphere in place of the packaged face model, and a tone in place of speech."""
    monkeypatch.setattr(headgan, "face_shape", lambda irises, landmarks: sphere_face()[1])
    monkeypatch.setattr(headgan, "heard", lambda folder: lambda record: np.ones((100, SOUND), np.float32))


def recipe(folder: Path) -> Path:
    path = folder / "run.toml"
    path.write_text(TINY)
    return path


def loader(stride: int = 1, before: int = 3) -> Loader:
    return Loader(sphere_face()[1], before, stride, mirrored=True)


def started(config: TrainConfig, shards: Path) -> HeadganTask:
    task = HeadganTask.start(config, shards, {}, lambda line: None)
    task.to(torch.device("cpu"))
    return task


def test_windows_are_of_consecutive_frames_whatever_the_stride(shards: Path):
    clip = loader(stride=4).load(shards, "train")[0]
    meshes = head_record("head0", "train", 12, 0)[0].decoded().mesh[:, [*range(468), 468, 473]]
    # Frames 0, 4 and 8; the first window does not reach back to before the clip.
    for row, frames in enumerate([(0, 0, 0, 0), (1, 2, 3, 4), (5, 6, 7, 8)]):
        np.testing.assert_array_equal(clip.faces[clip.window[row]], meshes[list(frames)])


def test_a_pair_is_the_window_of_one_frame(shards: Path):
    clip = loader(stride=3, before=0).load(shards, "train")[0]
    assert clip.window.shape == (4, 1)
    assert len(clip.faces) == 4


def test_faces_between_frames_that_were_seen_are_interpolated():
    mesh = np.arange(9, dtype=np.float32)[:, None, None] ** 2 * np.ones((1, 478, 3), np.float32)
    found = between(lambda meshes: meshes[:, :468], mesh, np.array([0, 4, 8]), np.array([0, 1, 4, 6, 8]))
    np.testing.assert_allclose(found[:, 0, 0], [0, 4, 16, 40, 64])


def test_in_a_mirror_the_face_is_fitted_to_the_mirrored_mesh(shards: Path):
    clip = loader().load(shards, "train")[0]
    assert clip.mirrored is not None
    mesh = head_record("head0", "train", 12, 0)[0].decoded().mesh
    np.testing.assert_array_equal(clip.mirrored, mirror_mesh(mesh)[:, [*range(468), 468, 473]])


def test_draws_depend_on_seed_and_step_alone(shards: Path):
    clips = loader().load(shards, "train")
    one, same, other = (Windows(clips, seed=seed, references=2, mirrored=0.5) for seed in (1, 1, 2))
    assert repr(one.draws(3, 8)) == repr(same.draws(3, 8)) != repr(other.draws(3, 8))
    assert all(len(draw.references) == 2 for draw in one.draws(0, 8))


def test_a_batch_holds_the_frames_that_were_drawn(shards: Path):
    clips = loader().load(shards, "train")
    shape, size = sphere_face()[1], 64
    held = Gathered(clips, shape, torch.device("cpu"), size=size, raster=32, mirrored=True, region_weight=1.0, sound=3)
    plain = one_draw(1, 2, 7)
    batch = held.gather(held.picks([plain, replace(plain, mirrored=True)]))
    wanted = torch.from_numpy(clips[1].pictures[[2, 7]]).permute(0, 3, 1, 2) / 255
    torch.testing.assert_close(batch.references[0, 0], wanted[0])
    torch.testing.assert_close(batch.driving[0], wanted[1])
    torch.testing.assert_close(batch.driving[1], wanted[1].flip(2))
    np.testing.assert_array_equal(batch.faces[0].numpy(), clips[1].faces[4:8])
    assert batch.index.shape == (2, 4, 32, 32)
    assert float(batch.sound.abs().sum()) == 0  # nobody speaks


def test_sound_is_dropped_as_often_as_asked(shards: Path):
    clips = [replace(clip, sound=np.ones((12, SOUND), np.float32)) for clip in loader().load(shards, "train")]
    kept = [draw.heard for step in range(50) for draw in Windows(clips, silent=0.2).draws(step, 8)]
    assert 0.75 < np.mean(kept) < 0.85
    held = Gathered(
        clips, sphere_face()[1], torch.device("cpu"), size=64, raster=32, mirrored=False, region_weight=0, sound=SOUND
    )
    draws = [one_draw(0, 0, 5), replace(one_draw(0, 0, 5), heard=False)]
    assert held.gather(held.picks(draws)).sound.sum(1).tolist() == [SOUND, 0]


def test_hinge_judges_lose_what_the_paper_says():
    """Equations 3 to 5, computed by hand."""
    panel = Panel(
        {"picture": JudgeConfig(width=2, blocks=1, loss="hinge"), "mouth": JudgeConfig(width=2, blocks=1)}, {}
    )
    real, made = torch.tensor([[0.5], [2.0]]), torch.tensor([[-2.0], [0.25]])
    hinge = panel.loss([torch.cat([real, made]), torch.zeros(0)])
    assert float(hinge) == pytest.approx((0.5 + 0) / 2 + (0 + 1.25) / 2)
    both = panel.loss([torch.cat([real, made]), torch.cat([real, made])])
    softplus = np.log1p(np.exp(-real.numpy())).mean() + np.log1p(np.exp(made.numpy())).mean()
    assert float(both) == pytest.approx(float(hinge) + softplus, rel=1e-5)


def test_judges_join_when_their_time_has_come_and_see_what_they_are_given(shards: Path, tmp_path: Path):
    settings = [
        *(
            "judges.mouth.joins=0.5",
            "judges.mouth.given=sound",
            "judges.picture.given=face",
            "judges.picture.loss=hinge",
        ),
        "judges.picture.network=spade",
    ]
    task = started(read_config(recipe(tmp_path), settings), shards)
    early = task.losses(task.batch(0, 2), 0)
    assert [tuple(x.shape[1:]) for x in early.made] == [(6, 64, 64), ()]
    task.done = 0.6
    late = task.losses(task.batch(0, 2), 0)
    assert [tuple(x.shape[1:]) for x in late.made] == [(6, 64, 64), (3 + SOUND, 16, 16)]
    assert float(late.losses["feature_matching"].detach()) > float(early.losses["feature_matching"].detach()) > 0
    # The condition is that of the real frame, in both.
    assert torch.equal(late.real[0][:, 3:], late.made[0][:, 3:])


def test_a_judge_may_learn_at_its_own_rate(shards: Path, tmp_path: Path):
    task = started(read_config(recipe(tmp_path), ["judges.mouth.rate=0.5"]), shards)
    assert [group["share"] for group in task.judge_groups()] == [1.0, 0.5]


def test_the_temporal_loss_compares_neighbours(shards: Path, tmp_path: Path):
    a, b = (torch.zeros(1, 2, 4, 4), torch.zeros(1, 3, 2, 2)), (torch.ones(1, 2, 4, 4), 0.5 * torch.ones(1, 3, 2, 2))
    assert float(temporal_l1(a, b)) == pytest.approx(1.5)
    task = started(read_config(recipe(tmp_path), ["losses.temporal=30", "data.temporal_share=1"]), shards)
    moving = float(task.losses(task.batch(0, 2), 0).losses["temporal"].detach())
    clips = [replace(clip, window=np.repeat(clip.window[:, -1:], 4, 1)) for clip in task.clips]
    still = HeadganTask(task.config, clips, task.shape)
    still.to(torch.device("cpu"))
    standing = float(still.losses(still.batch(0, 2), 0).losses["temporal"].detach())
    assert moving > 0
    assert standing < 0.2 * moving  # batch norm sees other batches, and nothing else differs


@pytest.mark.parametrize("name", ["headgan-256-gpu.toml", "headgan-paper-256.toml"])
def test_recipes_are_read(name: str):
    config = read_config(RECIPES / name)
    assert config.task == "headgan"
    assert list(config.judges) == ["picture", "mouth"]


ROWS = sorted((RECIPES / "ablation" / "headgan").glob("[0-9]*.toml"))
CONTINUED = sorted((RECIPES / "ablation" / "headgan-continued").glob("[0-9]*.toml"))


def differences(paths: Sequence[Path]) -> list[dict[str, object]]:
    """What each row's network has otherwise than the first one's; nothing else differs."""
    whole, *others = (read_config(path) for path in paths)
    assert all(replace(row, model=whole.model) == whole for row in others)
    return [
        {name: value for name, value in asdict(row.model).items() if value != getattr(whole.model, name)}
        for row in others
    ]


def test_the_rows_of_the_ablation_differ_in_one_thing_each():
    assert differences(ROWS) == [{"flow": False}, {"sound": 0}, {"landmarks": True}]


def test_the_rows_that_go_on_from_the_packaged_weights_differ_in_their_network_alone():
    """Two compare with the whole model, and what cannot have the mesh's flow with the row that lacks that alone."""
    mesh = {"mesh_flow": False}
    assert differences(CONTINUED) == [{"sound": 0}, mesh, {**mesh, "flow": False}, {**mesh, "landmarks": True}]
    whole = read_config(CONTINUED[0])
    assert whole.schedule_by == "steps"  # the same work for each row, however busy the machine is
    assert whole.model == build(HeadganConfig, load(resolve("headgan-256"), tensors=False).config)


@pytest.mark.parametrize("path", CONTINUED, ids=lambda path: path.stem)
def test_a_row_begins_with_what_it_has_of_the_packaged_weights(path: Path):
    config = read_config(path)
    start = find_start(config)
    assert start is not None
    torch.manual_seed(0)
    network = HeadganNetwork(config.model)
    start.load_into(network)
    packaged, now = start.weights.tensors, network.state_dict()
    taken = {name for name, tensor in now.items() if name in packaged and packaged[name].shape == tensor.shape}
    assert all(torch.equal(now[name], packaged[name].to(now[name].dtype)) for name in taken)
    # Only what sees the mesh's motion among its inputs, or tells how far to trust it, has another shape.
    new = now.keys() - taken
    assert all("shared" in name or name.startswith(("flow.out.", "renderer.encoder.convs.0.")) for name in new)
    assert bool(new) == (not config.model.mesh_flow)
    assert sum(now[name].numel() for name in new) < 0.01 * sum(tensor.numel() for tensor in now.values())


@pytest.mark.parametrize("path", [*ROWS, *CONTINUED], ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_row_of_the_ablation_takes_a_step(path: Path, shards: Path, tmp_path: Path):
    """Every switch of its network, at the smallest sizes."""
    row = read_config(path).model
    settings = [f"model.{name}={str(getattr(row, name)).lower()}" for name in ("mesh_flow", "flow", "landmarks")]
    settings += [f"model.sound={SOUND if row.sound else 0}"] + ([] if row.sound else ["judges.mouth.given=nothing"])
    task = started(read_config(recipe(tmp_path), settings), shards)
    optimiser = torch.optim.Adam(task.network.parameters(), 1e-3)
    losses = task.losses(task.batch(0, 2), 0).losses
    torch.stack(list(losses.values())).sum().backward()
    before = [p.detach().clone() for p in task.network.parameters()]
    optimiser.step()
    assert all(np.isfinite(float(loss.detach())) for loss in losses.values())
    changed = [not torch.equal(a, b) for a, b in zip(before, task.network.parameters(), strict=True)]
    assert sum(changed) > 0.9 * len(changed)


def test_the_paper_s_weights_are_the_defaults():
    config = from_values({"task": "headgan"})
    paper = read_config(RECIPES / "headgan-paper-256.toml")
    assert (
        config.losses
        == paper.losses
        == HeadganLosses(l1=50, perceptual=10, warp_l1=50, warp_perceptual=10, temporal=30)
    )
    assert config.judges == paper.judges
    assert config.judges["picture"].loss == config.judges["mouth"].loss == "hinge"
    assert config.judges["picture"].feature_matching == 10


def test_settings_of_other_tasks_are_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match="no such table"):
        from_values({"data": {"silent": 0.1}})
    with pytest.raises(ConfigError, match="no such tables"):
        from_values({"judges": {}})
    with pytest.raises(ConfigError, match=r"judges\.mouth\.sharpness"):
        read_config(recipe(tmp_path), ["judges.mouth.sharpness=1"])
    with pytest.raises(ConfigError, match="temporal_share"):
        read_config(recipe(tmp_path), ["data.temporal_share=2"])
    assert from_values({"task": "headgan", "judges": {}}).judges == {}


def weights_of(folder: Path) -> dict[str, Tensor]:
    return load(folder / "weights.safetensors").tensors


def states(folder: Path, steps: int) -> bytes:
    return (folder / f"step-{steps:08d}" / "state.safetensors").read_bytes()


def trained(shards: Path, folder: Path, steps: int, settings: Sequence[str] = (), resume: bool = False) -> None:
    folder.mkdir(exist_ok=True)
    train(recipe(folder), shards, [*settings], steps=steps, out=folder / "run", device="cpu", resume=resume)


def test_a_run_that_stopped_ends_at_the_same_bits(shards: Path, tmp_path: Path):
    settings = ["losses.temporal=3", "judges.mouth.joins=0", "validate_every_s=1000", "validate_frames=3"]
    trained(shards, tmp_path / "whole", 4, settings)
    trained(shards, tmp_path / "stopped", 2, settings)
    trained(shards, tmp_path / "stopped", 4, settings, resume=True)
    whole, stopped = tmp_path / "whole/run", tmp_path / "stopped/run"
    assert states(whole, 4) == states(stopped, 4)
    ours = weights_of(whole)
    assert all(torch.equal(ours[name], value) for name, value in weights_of(stopped).items())
    assert load(whole / "weights.safetensors").family == "headgan"
    lines = [json.loads(line) for line in (whole / "log.jsonl").read_text().splitlines()]
    assert any("psnr" in json.dumps(line) for line in lines)
    assert len(list((whole / "sheets").glob("*.png"))) >= 1


def test_the_loss_of_one_batch_falls(shards: Path, tmp_path: Path):
    torch.manual_seed(0)
    task = started(read_config(recipe(tmp_path), ["judges={}"]), shards)
    optimiser = torch.optim.Adam(task.network.parameters(), 5e-3, betas=(0.5, 0.999))
    picks, totals = task.batch(0, 2), []
    for _ in range(40):
        total = torch.stack(list(task.losses(picks, 0).losses.values())).sum()
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
        totals.append(float(total.detach()))
    assert totals[-1] < 0.6 * totals[0]


def test_the_perceptual_term_s_weight_is_measured_once_and_kept(shards: Path, tmp_path: Path):
    settings = ["losses.perceptual_share=0.5", "losses.perceptual=0", "losses.warp_perceptual=0", "perceptual=face-128"]
    task = started(read_config(recipe(tmp_path), settings), shards)
    losses = task.losses(task.batch(0, 2), 0).losses
    assert float(losses["perceptual"].detach()) > 0
    kept = task.fixed()
    again = HeadganTask.start(task.config, shards, kept, lambda line: None)
    again.to(torch.device("cpu"))
    assert again.fixed() == kept
    assert isinstance(again.network, HeadganNetwork)
