"""A network that learns to hear lips: what it is shown, its losses, and from shards to weights to a score."""

from __future__ import annotations

import tarfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from made import drawn_speech, talking_mesh
from visavis.core.errors import ConfigError, DataError
from visavis.data.shards import ClipRecord, Priors, append
from visavis.drawn.synthetic import TalkingFace, write_clip
from visavis.evaluation.metrics.lipsync import SyncScorer, judge
from visavis.evaluation.metrics.sync_networks import mel_of
from visavis.face.mouth import CROP_SIZE, SHAPE_VALUES, mouth_shape
from visavis.judges.mouth_sync import MouthSync, MouthSyncConfig
from visavis.judges.syncnet import offset_distances
from visavis.training.config import TrainConfig
from visavis.training.data.mouths import MouthClip, Mouths, load_mouths, still_batch
from visavis.training.machine import OneDevice
from visavis.training.run import train
from visavis.training.tasks.sync import SyncLosses, SyncTask, contrast_within, soft_targets
from visavis.training.trainer import Trainer
from visavis.weights.checkpoint import load

Floats = NDArray[np.float32]


# --- learning


def invented_clip(seed: int, frames: int = 160) -> MouthClip:
    """A mouth of noise whose shape and brightness follow how loud its sound is, 0.2 s smooth."""
    rng = np.random.default_rng(seed)
    wide = np.convolve(rng.normal(size=4 * frames + 16 + 19), np.hanning(20), "valid")
    loud = (wide - wide.min()) / (wide.max() - wide.min())
    mel = np.clip(loud * rng.uniform(0.7, 1, (80, 1)) + rng.normal(0, 0.02, (80, len(loud))), 0, 1)
    opening = loud[8 : 8 + 4 * frames : 4]  # the middle of each frame's window
    shapes = np.stack([mouth_shape(talking_mesh(o)) for o in opening])
    crops = rng.integers(60, 80, (frames, 38, 54)) + (100 * opening[:, None, None] * (np.indices((38, 54))[0] > 18))
    return MouthClip(f"p{seed % 3}", crops.astype(np.uint8), shapes, mel.astype(np.float32))


@pytest.fixture(scope="module")
def learned() -> MouthSync:
    """A tiny network after a few steps on invented clips."""
    losses = SyncLosses(frames=32)
    config = TrainConfig(MouthSyncConfig.tiny(), losses, "sync", steps=120, batch=6, learning_rate=5e-3)
    task = SyncTask(config, [invented_clip(seed) for seed in range(6)], [])
    trainer = Trainer(config, task, OneDevice())
    for step in range(config.steps):
        trainer.step([task.batch(step, config.batch)])
    assert isinstance(trainer.averaged, MouthSync)
    return trainer.averaged


@torch.no_grad()
def invented_distances(network: MouthSync, clip: MouthClip, shift: int, keep: tuple[float, float] = (1, 1)) -> Floats:
    """Distances by offset when the sound comes ``shift`` frames early."""
    late, early = max(-shift, 0), max(shift, 0)
    batch = still_batch(MouthClip(clip.identity, clip.crops[:120], clip.shapes[:120], clip.mel))
    mel = np.roll(clip.mel, -4 * (early - late), 1)[:, : 4 * 120 + 16]
    mouths = network.see(batch.crops, batch.shapes, torch.tensor([keep]))
    return offset_distances(mouths[0], network.listen(torch.from_numpy(mel)[None])[0], zeros=False).numpy()


@pytest.mark.parametrize("keep", [(1, 1), (0, 1), (1, 0)])
def test_a_trained_network_finds_the_shift_from_either_kind_of_sight(learned: MouthSync, keep: tuple[float, float]):
    clip = invented_clip(99)
    for shift in (0, 5, 12):
        assert abs(judge(invented_distances(learned, clip, shift, keep)).offset - shift) <= 1


def test_the_further_the_sound_the_larger_the_distance(learned: MouthSync):
    distances = np.mean([invented_distances(learned, invented_clip(seed), 0) for seed in (97, 98, 99)], 0)
    by_shift = (distances[15:] + distances[15::-1]) / 2
    assert by_shift[0] < by_shift[2] < by_shift[4]
    assert by_shift[0] + 0.2 < by_shift[5:].min()


def test_losses_have_their_known_values():
    """With vectors that say nothing all answers are alike; perfect ones leave the spread of the targets."""
    targets = soft_targets(7, 0.8, torch.device("cpu"))
    same = torch.ones(2, 7, 3) / 3**0.5
    assert float(contrast_within(same, same, torch.tensor(9.0), targets)) == pytest.approx(np.log(7), abs=1e-5)
    sharp = soft_targets(7, 0.05, torch.device("cpu"))
    torch.testing.assert_close(sharp, torch.eye(7))
    apart = torch.eye(7).expand(2, 7, 7)
    assert float(contrast_within(apart, apart, torch.tensor(50.0), sharp)) < 1e-6


def test_windows_hear_nothing_but_their_own_sound():
    """The window of a frame and its neighbours: mel outside it must not matter."""
    torch.manual_seed(0)
    network = MouthSync(MouthSyncConfig.tiny()).eval()
    mel = torch.rand(1, 80, 4 * 12 + 16)
    window = network.config.window
    whole = network.listen(mel)
    assert whole.shape == (1, 12 - window + 1, 16)
    own = network.listen(mel[:, :, 4 * 3 : 4 * (3 + window - 1) + 20])
    torch.testing.assert_close(whole[:, 3:4], own)
    crops, shapes = torch.rand(1, 12, *CROP_SIZE), torch.rand(1, 12, SHAPE_VALUES)
    assert network.see(crops, shapes).shape == whole.shape
    torch.testing.assert_close(network.see(crops, shapes).norm(dim=2), torch.ones(1, 12 - window + 1))


def test_a_batch_of_speech_depends_on_its_number_alone():
    clips = [invented_clip(seed, 40) for seed in range(3)]
    first, again = Mouths(clips, frames=30, seed=1), Mouths(clips, frames=30, seed=1)
    first.batch(0, 2)
    one, two = first.batch(5, 2), again.batch(5, 2)
    assert all(torch.equal(a, b) for a, b in zip(vars(one).values(), vars(two).values(), strict=True))
    assert not torch.equal(one.mel, again.batch(6, 2).mel)
    assert one.crops.shape == (2, 30, *CROP_SIZE) and one.mel.shape == (2, 80, 4 * 30 + 16)


# --- from shards to weights to a score


def write_shard(folder: Path, clips: int, *, speech: bool = True) -> Path:
    """A shard of drawn clips with invented priors; the last is of split val. In each the face is lost for one frame."""
    folder.mkdir()
    with tarfile.open(folder / "a-00000.tar", "w") as shard:
        for seed in range(clips):
            video = folder / "clip.mp4"
            write_clip(video, 2.0, seed=seed, size=64)
            loud = TalkingFace(seed, 64).loudness(np.arange(50) / 25)
            mesh = np.stack([talking_mesh(float(value)) / 128 - 1 for value in loud])
            seen = np.arange(50) != 3
            sound = TalkingFace(seed, 64).sound(2.0).samples
            priors = Priors(seen, mesh, np.zeros((50, 64, 64), np.uint8), mel_of(sound, 50))
            info = {"identity": f"p{seed}", "split": "val" if seed == clips - 1 else "train", "sound_is_speech": speech}
            append(shard, ClipRecord(f"c{seed}", video.read_bytes(), priors.encode(), info))
            video.unlink()
    return folder


def test_mouths_are_read_from_where_the_face_is_never_lost(tmp_path: Path):
    clips = load_mouths(write_shard(tmp_path / "shards", 2), "train", 20)
    assert [len(clip) for clip in clips] == [46]
    assert clips[0].mel.shape == (80, 4 * 46 + 16)
    expected = mel_of(TalkingFace(0, 64).sound(2.0).samples, 50)[:, 16:]
    np.testing.assert_allclose(clips[0].mel, expected, atol=1 / 255)


def test_clips_without_their_speakers_sound_teach_nothing(tmp_path: Path):
    with pytest.raises(DataError, match="sound"):
        load_mouths(write_shard(tmp_path / "shards", 2, speech=False), "train", 20)


def test_a_run_gives_weights_that_score(tmp_path: Path):
    shards = write_shard(tmp_path / "shards", 3)
    recipe = tmp_path / "sync.toml"
    recipe.write_text(
        'task = "sync"\nbatch = 2\nlog_every = 1\n[model]\npreset = "tiny"\ndropout = 0.1\n[losses]\nframes = 24\n'
    )
    train(recipe, shards, steps=3, out=tmp_path / "straight")
    train(recipe, shards, ["stop_after_s=1e-9"], steps=3, out=tmp_path / "stopped")
    train(recipe, shards, steps=3, resume=True, out=tmp_path / "stopped")
    straight, resumed = (tmp_path / run / "weights.safetensors" for run in ("straight", "stopped"))
    one, two = load(straight), load(resumed)
    assert one.family == "sync" and one.config == {**asdict(MouthSyncConfig.tiny()), "dropout": 0.1}
    assert all(torch.equal(one.tensors[name], two.tensors[name]) for name in one.tensors)
    scorer = SyncScorer.load(straight)
    pictures, mouths, sound = drawn_speech(1, 30)
    score = scorer.score(pictures, mouths, sound)
    assert score == scorer.score(pictures, mouths, sound)
    assert score.confidence >= 0 and 0 <= score.distance <= 2 and -15 <= score.offset <= 15
    assert score.distance == pytest.approx(scorer.distances(pictures, mouths, sound).min())


def test_settings_that_cannot_work_are_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match="hidden"):
        SyncLosses(hidden=0.9)
    shards = write_shard(tmp_path / "shards", 1)
    recipe = tmp_path / "sync.toml"
    recipe.write_text('task = "sync"\nsplit = "val"\n[model]\npreset = "tiny"\n[losses]\nframes = 7\n')
    with pytest.raises(ConfigError, match="window"):
        train(recipe, shards, steps=1, out=tmp_path / "run")
