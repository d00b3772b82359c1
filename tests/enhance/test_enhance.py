"""Frames between and larger pictures: conventions, seams, and that both networks learn."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from made import made_shards
from visavis.core.errors import ConfigError, DataError, WeightsError
from visavis.drawn.synthetic import TalkingFace, draw, write_clip
from visavis.enhance.interpolation import (
    BetweenConfig,
    Interpolator,
    Neighbours,
    load_interpolator,
    motion_field,
    move,
)
from visavis.enhance.super_resolution import EnlargeConfig, Enlarger, enlarge, framed, load_enlarger, patches
from visavis.motion.keypoint_kind import KeypointKind
from visavis.motion.layout import Motion
from visavis.motion.morphable_kind import MorphableKind
from visavis.nn.cost import gmac
from visavis.pipelines.call import between as call_between
from visavis.pipelines.call import enlarge as call_enlarge
from visavis.pipelines.stages import made_at_once
from visavis.training.config import TrainConfig, read_config
from visavis.training.data.gaps import Gaps, Stretch, load_stretches
from visavis.training.data.large import LargeClip, Patches, halved, load_large
from visavis.training.run import train
from visavis.training.tasks.between import BetweenLosses, BetweenTask
from visavis.training.tasks.enlarge import EnlargeLosses, EnlargeTask
from visavis.weights.store import packaged, resolve

RECIPES = Path(__file__).parents[2] / "src/visavis/training/recipes"


def unlike_new(network: nn.Module) -> nn.Module:
    """The same network with all weights drawn, also those that begin as zeros."""
    torch.manual_seed(0)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.2)
    return network.eval()


def face(side: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(draw(side, seed=seed)).permute(2, 0, 1)[None].float() / 255


@pytest.mark.parametrize("layers", [0, 1, 4])
@pytest.mark.parametrize("patch", [7, 16, 64])
def test_patches_leave_no_seam(layers: int, patch: int):
    """Patch by patch gives what the whole gives, at seams too, whatever the network has learned."""
    network = unlike_new(Enlarger(EnlargeConfig(width=6, layers=layers)))
    assert isinstance(network, Enlarger)
    picture = face(40)[..., :33]
    assert torch.allclose(enlarge(network, picture, patch), enlarge(network, picture), atol=1e-5)


def test_a_pixel_depends_on_nothing_beyond_the_reach():
    network = unlike_new(Enlarger(EnlargeConfig(width=6, layers=2)))
    assert isinstance(network, Enlarger)
    picture = torch.rand(1, 3, 32, 32, requires_grad=True)
    made = network(framed(picture, network.config.reach))
    made[0, :, 32, 32].sum().backward()
    assert picture.grad is not None
    touched = picture.grad[0].abs().sum(0).nonzero()
    assert (touched - 16).abs().max() <= network.config.reach


def test_patches_tile_a_picture_once():
    seen = np.zeros((10, 7), int)
    for top, left, height, width in patches(10, 7, 4):
        seen[top : top + height, left : left + width] += 1
    assert (seen == 1).all()
    with pytest.raises(ConfigError, match="at least 1"):
        list(patches(4, 4, 0))


def test_an_untrained_enlarger_is_bicubic_interpolation():
    """OpenCV's and torch's kernels differ a little (a = -0.75 in both; only borders may differ)."""
    made = enlarge(Enlarger(EnlargeConfig.tiny()).eval(), face(32), 16)
    other = cv2.resize(draw(32, seed=0).astype(np.float32) / 255, (64, 64), interpolation=cv2.INTER_CUBIC)
    assert np.abs(made[0].permute(1, 2, 0).numpy() - other.clip(0, 1)).max() < 1e-4


def test_points_that_move_carry_their_surroundings():
    """A spot that went 8 pixels to the right is found by sampling 8 pixels to the left; far away nothing moves."""
    picture = torch.zeros(1, 1, 128, 128)
    picture[..., 60:64, 40:44] = 1
    start = torch.tensor([[[2 * 42 / 128 - 1, 2 * 62 / 128 - 1]]])
    end = start + torch.tensor([2 * 8 / 128, 0.0])
    flow, near = motion_field(start, end, 128, 128, 1)
    assert flow[0, :, 62, 50].tolist() == pytest.approx([-8, 0], abs=0.5)
    assert flow[0, :, 62, 127].abs().max() < 0.1 and near[0, 0, 62, 50] > 0.9 > 0.1 > near[0, 0, 62, 127]
    moved = move(picture, flow)[0, 0]
    weights = torch.arange(128) + 0.5
    assert float((moved.sum(0) * weights).sum() / moved.sum()) == pytest.approx(50, abs=0.5)


def test_nothing_moves_without_flow_and_the_border_goes_on():
    picture = face(32)
    assert torch.allclose(move(picture, torch.zeros(1, 2, 32, 32)), picture, atol=1e-5)
    away = move(picture, torch.full((1, 2, 32, 32), 100.0))
    assert torch.allclose(away[0, :, 0], picture[0, :, -1, -1:].expand(3, 32), atol=1e-5)


def test_an_untrained_interpolator_mixes_what_does_not_move():
    a, b, points = face(32, 0), face(32, 1), torch.zeros(1, 5, 2)
    made = Interpolator(BetweenConfig.tiny())(Neighbours(a, b, points, points, torch.tensor([0.25])))
    assert torch.allclose(made.picture, 0.75 * a + 0.25 * b, atol=1e-4)
    assert torch.allclose(made.moved, made.picture)


def test_both_networks_stay_within_their_budget():
    """3 MiB in fp16 and 3 GMAC a frame of 256x256, together; the second counted by hand for one of them."""
    between, larger = Interpolator(BetweenConfig()).eval(), Enlarger(EnlargeConfig()).eval()
    picture, points = torch.zeros(1, 3, 256, 256), torch.zeros(1, 10, 2)
    pair = Neighbours(picture, picture, points, points, torch.tensor([0.5]))
    with torch.inference_mode():
        costs = [gmac(lambda: between(pair)), gmac(lambda: enlarge(larger, picture, call_enlarge.PATCH))]
    by_hand, side = 0, 128 + 2 * larger.config.reach
    for inside, outside in [(3, 24), (24, 24), (24, 24), (24, 24), (24, 24), (24, 12)]:
        side -= 2
        by_hand += 4 * side**2 * 9 * inside * outside
    assert costs[1] == pytest.approx(by_hand / 1e9)
    assert sum(costs) < 3
    assert 2 * sum(p.numel() for network in (between, larger) for p in network.parameters()) < 3 * 2**20


def stretch(seed: int, side: int = 64) -> Stretch:
    """A bright square that goes right by two pixels a frame, and its mesh with it, over a drawn face."""
    mesh = np.zeros((6, 478, 2), np.float32)
    pictures = np.repeat(draw(side, seed=seed)[None], 6, 0)
    for t in range(6):
        x = 20 + 2 * t
        pictures[t, 24:40, x : x + 16] = (250, 240, 30)
        mesh[t] = np.stack([np.full(478, 2 * (x + 8) / side - 1), np.full(478, 0.0)], 1)
    return Stretch(f"p{seed}", pictures, mesh)


def test_neighbours_and_truth_are_in_order_and_in_place():
    """The square's place is read from the pixels: points follow it into the cut, truth lies between by its share."""
    batch = Gaps([stretch(0)], side=48, seed=3).batch(0, 24)
    places = torch.arange(48) + 0.5
    columns = []
    for picture in (batch.before, batch.after, batch.truth):
        bright = ((picture[:, 0] > 0.9) & (picture[:, 2] < 0.3)).float().sum(1)
        columns.append((bright * places).sum(1) / bright.sum(1))
    before, after, truth = columns
    whole = torch.stack([(p[:, 0] > 0.9) & (p[:, 2] < 0.3) for p in (batch.before, batch.after, batch.truth)], 1)
    whole = (whole.flatten(2).sum(2) == 256).all(1)
    assert whole.sum() >= 8, "the square is wholly in sight often enough to be asked"
    assert torch.allclose(truth[whole], torch.lerp(before, after, batch.share)[whole], atol=0.1)
    moved = (batch.after_points - batch.before_points)[:, :, 0].mean(1) * 24
    moves = whole & (moved.abs() > 1)
    assert moves.any() and torch.allclose(moved[moves], (after - before)[moves], atol=0.6)


def overfits(task: BetweenTask | EnlargeTask, steps: int, rate: float) -> float:
    """The last loss over the first one, of one batch."""
    batch = task.batch(0, 4)
    optimiser = torch.optim.Adam(task.network.parameters(), rate)
    totals = []
    for step in range(steps):
        total = torch.stack(list(task.losses(batch, step).losses.values())).sum()  # type: ignore[arg-type]
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
        totals.append(float(total.detach()))
    return totals[-1] / totals[0]


def between_task() -> BetweenTask:
    config = TrainConfig(task="between", model=BetweenConfig.tiny(), losses=BetweenLosses(side=48))
    gaps = Gaps([stretch(0), stretch(1)], side=48)
    return BetweenTask(config, gaps, gaps.batch(0, 2))


def enlarge_task() -> EnlargeTask:
    config = TrainConfig(task="enlarge", model=EnlargeConfig.tiny(), losses=EnlargeLosses(side=16))
    boards = np.indices((512, 512)).sum(0) // 6 % 2 * np.uint8(255)  # edges, which interpolation makes soft
    source = Patches([LargeClip("p", np.stack([boards] * 3, -1)[None])], side=16, reach=3, softened=0.5)
    return EnlargeTask(config, source, source.batch(0, 2))


def test_both_networks_overfit_one_batch():
    assert overfits(between_task(), 120, 1e-2) < 0.6
    assert overfits(enlarge_task(), 120, 3e-3) < 0.7


@pytest.mark.parametrize("make", [between_task, enlarge_task])
def test_a_gradient_reaches_every_parameter(make: type):
    task = make()
    unlike_new(task.network)
    torch.stack(list(task.losses(task.batch(0, 2), 0).losses.values())).sum().backward()
    still = [name for name, p in task.network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert still == []


@pytest.mark.parametrize("make", [between_task, enlarge_task])
def test_batches_depend_on_the_number_alone(make: type):
    task, again = make(), make()
    again.batch(0, 3)
    for a, b in zip(vars(task.batch(5, 3)).values(), vars(again.batch(5, 3)).values(), strict=True):
        assert torch.equal(a, b)


def test_a_small_patch_is_its_large_one_halved():
    clips = [LargeClip("p", draw(512, seed=0)[None])]
    batch = Patches(clips, side=16, reach=4, softened=0.0).batch(0, 3)
    inside = batch.small[..., 4:-4, 4:-4]
    assert torch.allclose(F.avg_pool2d(batch.large, 2), inside, atol=1e-5)
    assert np.allclose(halved(np.arange(16, dtype=np.float32).reshape(4, 4, 1)), [[2.5, 4.5], [10.5, 12.5]])


def test_runs_leave_weights_that_load(tmp_path: Path):
    shards = made_shards(tmp_path / "shards")
    between = tmp_path / "between.toml"
    between.write_text(
        'task = "between"\nbatch = 2\nstride = 1\n[model]\npreset = "tiny"\n[losses]\nside = 48\n', encoding="utf-8"
    )
    train(between, shards, steps=2, out=tmp_path / "a", device="cpu")
    assert load_interpolator(tmp_path / "a/weights.safetensors").config == BetweenConfig.tiny()
    videos = tmp_path / "videos"
    videos.mkdir()
    write_clip(videos / "one.mp4", 0.2, seed=1, size=512)
    (videos / "splits.csv").write_text("identity,split\none,train\n", encoding="utf-8")
    larger = tmp_path / "enlarge.toml"
    larger.write_text(
        'task = "enlarge"\nbatch = 2\nstride = 2\n[model]\npreset = "tiny"\n[losses]\nside = 16\n', encoding="utf-8"
    )
    train(larger, videos, steps=2, out=tmp_path / "b", device="cpu")
    assert load_enlarger(tmp_path / "b/weights.safetensors").config == EnlargeConfig.tiny()
    assert json.loads((tmp_path / "b/log.jsonl").read_text().splitlines()[-1])["step"] == 2
    with pytest.raises(WeightsError, match="of family 'between'; 'enlarge' is needed"):
        load_enlarger(tmp_path / "a/weights.safetensors")


def test_data_that_cannot_teach_is_refused(tmp_path: Path):
    write_clip(tmp_path / "small.mp4", 0.2, seed=1, size=128)
    (tmp_path / "splits.csv").write_text("identity,split\nsmall,train\n", encoding="utf-8")
    with pytest.raises(DataError, match="no clip of split 'train' of 512x512"):
        load_large(tmp_path, "train", 1)
    with pytest.raises(DataError, match="6 frames in a row"):
        load_stretches(made_shards(tmp_path / "shards"), "val", 1)
    with pytest.raises(ConfigError, match="multiple of 8"):
        BetweenLosses(side=50)
    with pytest.raises(ConfigError, match="side from 8 to 192"):
        EnlargeLosses(side=4)


def test_frames_between_come_from_the_network_or_the_generator():
    kind = KeypointKind(3, False)
    painted = np.full((12, 12, 3), 7, np.uint8)

    def gap(side: int) -> call_between.Gap:
        still = Motion(np.zeros(6, np.float32), kind.layout)
        return call_between.Gap(draw(side, seed=0), draw(side, seed=1), still, still, 0.5)

    make = call_between.by_network(Interpolator(BetweenConfig.tiny()).eval(), kind)
    both = (draw(32, seed=0).astype(float) + draw(32, seed=1)) / 2

    def made(side: int) -> np.ndarray:
        return make(lambda: gap(side), lambda: painted, made_at_once)()

    assert np.abs(made(32) - both).max() <= 1
    assert made(12) is painted, "12 is no multiple of 8"


def test_motion_without_points_is_left_to_the_generator():
    morphable, keypoints = MorphableKind(3, 2), KeypointKind(3, False)
    assert call_between.chosen("network", 2, morphable) is call_between.by_motion
    assert call_between.maker("network", 2, morphable) == "motion"
    assert call_between.maker("network", 2, keypoints) == "network"
    assert call_between.maker("network", 0, keypoints) is None


@pytest.mark.parametrize("side", [32, 64, 100, 128, 20])
def test_any_side_can_be_asked_for(side: int):
    make = call_enlarge.by_network(Enlarger(EnlargeConfig.tiny()).eval(), 16)
    assert make(TalkingFace(0, 32).frames(1).__iter__().__next__().pixels, side).shape == (side, side, 3)


def test_recipes_are_of_the_packaged_networks():
    for recipe, name, load in (
        ("between-256", "between-256", load_interpolator),
        ("enlarge-2x", "enlarge-2x", load_enlarger),
    ):
        config = read_config(RECIPES / f"{recipe}.toml")
        assert load(resolve(name)).config == config.model
        assert packaged()[name].family == config.task
