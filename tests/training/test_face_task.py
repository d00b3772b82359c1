"""The face network learns: labels that fit their pictures, batches by number, and all four losses."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from visavis.judges.face_network import FaceConfig, FaceNetwork, load_face_network
from visavis.training.config import TrainConfig, read_config
from visavis.training.data.damage import damage, degrade, relight, warp
from visavis.training.data.dataset import Clip
from visavis.training.data.faces import Faces, face_mask
from visavis.training.face_losses import FaceLossWeights, face_losses
from visavis.training.run import train
from visavis.training.tasks.face import FaceTask

RECIPE = Path(__file__).parents[2] / "src/visavis/training/recipes/face-128.toml"


def clips(people: int = 2, frames: int = 4, side: int = 128) -> list[Clip]:
    """Clips of black pictures with one white spot, where all mesh points are, and half of the picture a person."""
    made = []
    for person in range(people):
        rng = np.random.default_rng(person)
        mesh = np.zeros((frames, 478, 3), np.float32)
        pictures = np.zeros((frames, side, side, 3), np.uint8)
        for frame in range(frames):
            x, y = rng.integers(side // 4, 3 * side // 4, 2)
            pictures[frame, y - 2 : y + 3, x - 2 : x + 3] = 255
            mesh[frame, :, :2] = (2 * np.array([x, y]) + 1) / side - 1
        segmentation = np.zeros((frames, 64, 64), np.uint8)
        segmentation[:, 32:] = 255
        made.append(Clip(f"p{person}", pictures, mesh, segmentation, None))
    return made


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the crop moves; nothing else is done to the pictures."""
    for share in ("_DAMAGED_SHARE", "_DEGRADED_SHARE", "_OTHER_BACKGROUND_SHARE", "_FACE_ALONE_SHARE"):
        monkeypatch.setattr(f"visavis.training.data.faces.{share}", 0.0)
    monkeypatch.setattr("visavis.training.data.faces.relight", lambda picture, rng: picture)


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize("side", [64, 128, 256])
def test_points_move_with_their_pixels(side: int):
    """The spot is found in the moved picture where the moved mesh says, whatever sizes go in and come out."""
    batch = Faces(clips(side=side), size=64, seed=1).batch(0, 8)
    places = torch.arange(64) * 2 / 64 + 1 / 64 - 1
    for picture, mesh in zip(batch.picture.mean(1), batch.mesh, strict=True):
        weight = picture / picture.sum()
        centre = torch.stack([(weight.sum(0) * places).sum(), (weight.sum(1) * places).sum()])
        assert torch.allclose(centre, mesh[0], atol=1 / 64), "half a pixel"


def test_a_batch_of_faces_depends_on_its_number_alone():
    faces = Faces(clips(), size=64, seed=3)
    first, again, other = faces.batch(5, 4), Faces(clips(), size=64, seed=3).batch(5, 4), faces.batch(6, 4)
    assert all(torch.equal(a, b) for a, b in zip(vars(first).values(), vars(again).values(), strict=True))
    assert not torch.equal(first.picture, other.picture)
    assert first.picture.shape == (4, 3, 64, 64) and first.mesh.shape == (4, 468, 2)
    assert first.segmentation.shape == first.damage.shape == (4, 16, 16)
    for values in (first.picture, first.segmentation, first.damage):
        assert float(values.min()) >= 0 and float(values.max()) <= 1


def test_people_count_by_the_root_of_how_much_there_is_of_them():
    few, many = clips(2, frames=4), clips(1, frames=64)[0]
    faces = Faces([few[0], Clip("q", many.pictures, many.mesh, many.segmentation, None)], size=32)
    drawn = torch.cat([faces.batch(step, 20).identity for step in range(20)])
    assert float((drawn == 1).float().mean()) == pytest.approx(4 / 5, abs=0.08)  # roots are 2 and 8


def test_damage_is_marked_where_the_picture_changed_and_nowhere_else():
    rng = np.random.default_rng(0)
    picture, other = (np.random.default_rng(n).random((64, 64, 3), dtype=np.float32) for n in (1, 2))
    for _ in range(20):
        spoilt, place = damage(picture, other, rng)
        change = cv2.blur(np.abs(spoilt - picture).mean(2), (5, 5))
        assert change[place == 0].max(initial=0) < 0.01 < change[place > 0.9].min(initial=1)
        assert 0.005 < place.mean() < 0.9


def test_what_is_done_to_a_whole_picture_keeps_its_shape_and_range():
    rng = np.random.default_rng(0)
    picture = np.random.default_rng(1).random((48, 48, 3), dtype=np.float32)
    for _ in range(30):
        made = degrade(relight(picture, rng), rng)
        assert made.shape == picture.shape and made.dtype == np.float32
        assert made.min() >= 0 and made.max() <= 1
    assert np.allclose(warp(picture, rng, 0.0), picture, atol=1e-5)


def test_a_face_mask_is_full_in_the_face_and_empty_outside():
    mesh = np.random.default_rng(0).uniform(-0.4, 0.4, (478, 3)).astype(np.float32)
    mask = face_mask(mesh, 64)
    assert mask[32, 32] > 0.99
    assert max(mask[2, 2], mask[-3, -3], mask[32, 2]) < 0.01


def test_losses_vanish_for_a_reading_that_is_right():
    batch = Faces(clips(), size=32, seed=0).batch(0, 4)
    network = FaceNetwork(FaceConfig.tiny(identities=2))
    reading = network(batch.picture)
    assert set(face_losses(reading, batch, network.identities, FaceLossWeights())) == {
        *("mesh", "segmentation", "damage", "identity")
    }
    people = torch.eye(8)[:2]

    def logits(share: torch.Tensor) -> torch.Tensor:
        return (200 * (share.round() - 0.5)).clone()

    batch = type(batch)(batch.picture, batch.mesh, batch.segmentation.round(), batch.damage.round(), batch.identity)
    right = type(reading)(batch.mesh, logits(batch.segmentation), logits(batch.damage), people[batch.identity])
    losses = face_losses(right, batch, people, FaceLossWeights())
    assert all(float(loss) < 1e-4 for loss in losses.values())


def test_every_part_of_the_network_learns():
    faces = Faces(clips(), size=32, seed=0)
    config = TrainConfig(task="face", model=FaceConfig.tiny(), losses=FaceLossWeights())
    task = FaceTask(config, faces, faces.batch(0, 2))
    outcome = task.losses(task.batch(0, 4), 0)
    torch.stack(list(outcome.losses.values())).sum().backward()
    still = [name for name, p in task.network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert still == []


def test_the_network_overfits_one_batch():
    faces = Faces(clips(), size=32, seed=0)
    config = TrainConfig(task="face", model=FaceConfig.tiny(), losses=FaceLossWeights())
    task = FaceTask(config, faces, faces.batch(0, 2))
    batch = task.batch(0, 8)
    optimiser = torch.optim.Adam(task.network.parameters(), 1e-2)
    totals = []
    for step in range(120):
        total = torch.stack(list(task.losses(batch, step).losses.values())).sum()
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
        totals.append(float(total.detach()))
    assert totals[-1] < 0.3 * totals[0]


def test_a_run_leaves_weights_that_load_and_a_sheet(tmp_path: Path):
    from visavis.data.prepare.run import prepare
    from visavis.drawn.synthetic import write_clip

    source = tmp_path / "clips"
    source.mkdir()
    write_clip(source / "a.mp4", 0.4, seed=1, size=256)
    write_clip(source / "b.mp4", 0.4, seed=2, size=256)
    prepare(source, tmp_path / "shards")
    config = tmp_path / "face.toml"
    config.write_text('task = "face"\nbatch = 3\nstride = 2\nlog_every = 1\n[model]\npreset = "tiny"\n')
    train(config, tmp_path / "shards", steps=2, out=tmp_path / "run", device="cpu")
    train(config, tmp_path / "shards", steps=3, resume=True, out=tmp_path / "run", device="cpu")
    network = load_face_network(tmp_path / "run/weights.safetensors")
    assert network.config == FaceConfig.tiny(identities=2)
    assert network.embedding(torch.rand(1, 3, 64, 64)).norm() == pytest.approx(1, abs=1e-5)
    assert json.loads((tmp_path / "run/log.jsonl").read_text().splitlines()[-1])["step"] == 3
    assert cv2.imread(str(tmp_path / "run/sheets/step-00000003.png")).shape[0] == 64


def test_the_recipe_is_of_the_packaged_network():
    config = read_config(RECIPE)
    assert (config.task, config.model, config.losses) == ("face", FaceConfig(), FaceLossWeights())
