"""A speaker that learns: sound brought in step, known values of losses, and from shards to weights."""

from __future__ import annotations

import tarfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from visavis.core.errors import DataError
from visavis.data.shards import ClipRecord, Priors, append
from visavis.drawn.synthetic import TalkingFace, write_clip
from visavis.evaluation.metrics.sync_networks import mel_of
from visavis.face.model3d import load_face_model
from visavis.media.flac import encode_flac, in_16_bits
from visavis.motion.speech.config import SpeakerConfig
from visavis.motion.speech.head import Layer, spectrum
from visavis.motion.speech.heard import SpeakerSound, numbers_heard
from visavis.motion.speech.network import SpeakerNetwork
from visavis.motion.speech.phi import HeadMotionLearner
from visavis.motion.speech.rest import resting_expression
from visavis.motion.speech.speaker import Speaker
from visavis.motion.speech.sway import CHANNELS, Sway
from visavis.training.config import TrainConfig
from visavis.training.data.idle import IdleClip
from visavis.training.data.late import latenesses
from visavis.training.data.speakers import SpeakerClip, load_speakers
from visavis.training.data.speech_motion import SpeechMotion, no_speech, spectra, with_noise
from visavis.training.machine import OneDevice
from visavis.training.run import train
from visavis.training.speaker_losses import HeadLikelihood, MouthLoss, pinball
from visavis.training.tasks.speaker import SpeakerLosses, SpeakerTask
from visavis.training.trainer import Trainer
from visavis.weights.checkpoint import load

Floats = NDArray[np.float32]
MODEL = load_face_model()


def invented_clip(seed: int, frames: int = 140, late: int = 0) -> SpeakerClip:
    """Somebody whose mouth opens as loud as a noise is, and whose head sways by the seed's own strength."""
    rng = np.random.default_rng(seed)
    loud = np.clip(np.convolve(rng.normal(size=frames + 8), np.hanning(9) / 3, "valid"), 0, None)
    wave = rng.normal(0, 0.2, 640 * frames) * np.repeat(np.roll(loud, late), 640)
    opening = np.zeros((frames, 30))
    opening[:, 0] = loud * 2 * MODEL.expression_scale[0]
    camera = np.zeros((frames, 6))
    camera[:, 2] = -1.2
    camera += 0.02 * (1 + seed % 3) * Sway(rng).take(frames)[0, :, :6]
    idle = IdleClip(np.ones(frames), np.zeros((frames, 2, 2)), np.zeros((frames, 2)), camera, loud > 0.1)
    parts = (np.zeros(40, np.float32), opening.astype(np.float32), camera.astype(np.float32), np.ones(frames, bool))
    return SpeakerClip(f"p{seed}", *parts, wave.astype(np.float32), idle)


# --- what is learned from


def test_sound_that_is_late_or_early_is_found_out():
    rng, late = np.random.default_rng(0), [0, 3, -2, 0, 5, -4, 1, 0]
    heard, lips = [], []
    for lag in late:
        loud = np.convolve(rng.normal(size=228), np.hanning(9), "valid")
        heard.append(np.roll(loud, lag)[:, None] * rng.normal(1, 0.01, (1, 5)) + rng.normal(0, 0.1, (220, 5)))
        lips.append(loud + rng.normal(0, 1, 220))
    assert latenesses([f"p{at}" for at in range(len(late))], heard, lips).tolist() == late


def test_a_clip_whose_sound_is_moved_keeps_what_belongs_together():
    clip = invented_clip(1, late=3)
    moved, back = clip.earlier(3), clip.earlier(-2)
    assert len(moved) == len(clip) - 3 and moved.sound is not None and len(moved.sound) == 640 * len(moved)
    np.testing.assert_array_equal(moved.change, clip.change[:-3])
    np.testing.assert_array_equal(moved.sound[:640], clip.sound[640 * 3 : 640 * 4])  # type: ignore[index]
    np.testing.assert_array_equal(back.change, clip.change[2:])


def test_noise_lies_as_far_below_speech_as_it_is_said_to():
    rng = np.random.default_rng(0)
    speech = rng.normal(0, 0.1, 32_000).astype(np.float32)
    for level in (6.0, 30.0):
        noise = with_noise(speech, level, rng)
        assert 10 * np.log10(np.square(speech).mean() / np.square(noise).mean()) == pytest.approx(level, abs=0.1)
    assert all(np.abs(no_speech(kind, 16_000, rng)).max() <= 1 for kind in range(4))


def test_a_batch_depends_on_its_number_alone():
    clips = [invented_clip(seed) for seed in range(3)]
    one, two = (SpeechMotion(clips, SpeakerSound("mel"), frames=20, head_frames=96, ways=2, seed=3) for _ in range(2))
    one.batch(0, 2)
    first, again = one.batch(5, 3), two.batch(5, 3)
    assert all(torch.equal(a, b) for a, b in zip(vars(first).values(), vars(again).values(), strict=True))
    assert (
        first.heard.shape == (3, 20, 1120)
        and first.head.shape == (3, 96, 6)
        and first.reference_sound.shape == (3, 64, 80)
    )
    assert not torch.equal(first.heard, two.batch(6, 3).heard)
    heard = torch.randn(4, 1120)
    np.testing.assert_allclose(spectra(heard.numpy()), spectrum(heard).numpy(), atol=1e-6)


# --- losses


def test_mouths_are_compared_by_where_lips_are():
    loss, rng = MouthLoss(MODEL, 0.0), np.random.default_rng(0)
    real = torch.tensor(rng.normal(0, 0.1, (2, 12, 30)), dtype=torch.float32)
    keep, nobody = torch.ones(2, 12), torch.zeros(2)
    assert float(loss(real, real, keep, nobody)) == 0
    away = real.clone()
    away[:, 4] += 0.3
    away[:, 9] += 5
    keep[:, 9] = 0  # a face that is not seen teaches nothing
    assert 0 < float(loss(away, real, keep, nobody)) < float(loss(2 * away - real, real, keep, nobody))
    shifted = real + 0.2  # how wide somebody's mouth usually is open counts little, unless nobody speaks
    assert float(loss(shifted, real, keep, nobody)) < 0.2 * float(loss(shifted, real, keep, torch.ones(2)))
    gaps = MODEL.expression[:, 14, 1] - MODEL.expression[:, 13, 1]
    opening = loss.opening(torch.eye(30)).numpy()
    assert np.corrcoef(opening, gaps)[0, 1] > 0.95


def test_tables_learn_the_quantiles_of_what_they_see():
    values = torch.from_numpy(np.random.default_rng(0).gamma(2, 1, 4000).astype(np.float32))
    shares = torch.tensor([0.1, 0.5, 0.9])
    table = torch.zeros(3, requires_grad=True)
    steps = torch.optim.Adam([table], 0.05)
    for _ in range(400):
        steps.zero_grad()
        pinball(table, shares, values).backward()
        steps.step()
    np.testing.assert_allclose(table.detach(), np.quantile(values, [0.1, 0.5, 0.9]), atol=0.1)


def test_a_head_is_likeliest_under_the_rhythm_that_made_it():
    rng = np.random.default_rng(0)
    noise = torch.from_numpy(Sway(rng, 64).take(96)).float()
    weights = torch.from_numpy(rng.normal(0, 0.3, (1, 6, CHANNELS))).float().expand(64, -1, -1)
    gates = torch.ones(64, 96, CHANNELS)
    head = noise @ weights.transpose(1, 2) + 0.02 * torch.randn(64, 96, 6)
    told, likelihood = torch.zeros_like(head), HeadLikelihood()
    tremor = torch.full((64, 6), float(np.log(0.02)))

    def cost(layer_noise: torch.Tensor, opened: float = 1.0) -> float:
        layer = Layer(torch.zeros(64, 6, 1), layer_noise, torch.zeros(64, 6), tremor)
        return float(likelihood(head, told, layer, opened * gates))

    true = cost(weights)
    assert true < min(cost(1.5 * weights), cost(weights / 1.5), cost(weights, 1.4))
    assert true < cost(weights.roll(6, 2)) and true < cost(weights[:, [1, 2, 3, 4, 5, 0]])


def test_gradients_reach_every_parameter():
    torch.manual_seed(0)
    config = TrainConfig(SpeakerConfig.tiny(), SpeakerLosses(frames=16, ways=0, empty=0.3), "speaker", batch=3)
    task = SpeakerTask(config, [invented_clip(seed) for seed in range(3)])
    outcome = task.losses(task.batch(0, 3), 0)
    torch.stack(list(outcome.losses.values())).sum().backward()
    idle = [name for name, value in task.network.named_parameters() if value.grad is None or not value.grad.any()]
    assert not idle
    assert outcome.real[0].shape == outcome.made[0].shape == (3, 96, 6)


# --- learning


def test_a_few_steps_open_the_mouth_with_the_sound_and_tell_strong_heads_from_weak():
    losses = SpeakerLosses(frames=40, ways=0, head=1.0)
    config = TrainConfig(SpeakerConfig.tiny(), losses, "speaker", steps=120, batch=6, learning_rate=1e-2, ema=0.9)
    task = SpeakerTask(config, [invented_clip(seed) for seed in range(6)], [invented_clip(7), invented_clip(8)])
    trainer = Trainer(config, task, OneDevice())
    before = trainer.validate()["opening"]
    for step in range(config.steps):
        trainer.step([task.batch(step, config.batch)])
    found = trainer.validate()
    assert found["opening"] > max(0.8, before + 0.2) and 0.6 < found["opening_range"] < 1.4
    speaker = Speaker.of(trainer.averaged)  # type: ignore[arg-type]
    spread = []
    for seed in (12, 14):  # heads of strength 1 and 3
        clip = invented_clip(seed)
        heard = speaker.hears.of_clip(clip.sound, len(clip))  # type: ignore[arg-type]
        speaking = speaker.speaking(clip.identity, rhythm=speaker.rhythm_of(clip.camera, heard))
        moves = np.stack([speaking.next(rows).camera for rows in np.concatenate([heard, heard])])
        spread.append(moves[25:].std(0)[3:].mean())
    assert spread[1] > 1.4 * spread[0]


# --- from shards to weights that speak


def speaking_meshes(loud: NDArray[np.float64]) -> Floats:
    """The model's face at rest whose lower lip and jaw fall as loud as it is: ``[T, 478, 3]``."""
    meshes, nobody = np.zeros((len(loud), 478, 3), np.float32), np.zeros(40, np.float32)
    meshes[:, :468] = 0.3 * MODEL.shape(nobody, resting_expression(MODEL, nobody))
    below = np.flatnonzero(MODEL.mean[:, 1] > MODEL.mean[[13, 14], 1].mean())
    for fallen in (below, [14, 17, 84, 87, 178, 314, 317, 402]):
        meshes[:, fallen, 1] += 0.03 * loud[:, None].astype(np.float32)
    return meshes


def write_shard(folder: Path, clips: int, *, speech: bool = True) -> Path:
    """A shard of drawn clips with invented meshes; the last is of split val."""
    folder.mkdir()
    with tarfile.open(folder / "a-00000.tar", "w") as shard:
        for seed in range(clips):
            video = folder / "clip.mp4"
            write_clip(video, 2.0, seed=seed, size=64)
            face = TalkingFace(seed, 64)
            mesh = speaking_meshes(face.loudness(np.arange(50) / 25))
            sound = face.sound(2.0).samples
            priors = Priors(np.ones(50, bool), mesh, np.zeros((50, 64, 64), np.uint8), mel_of(sound, 50))
            info = {"identity": f"p{seed}", "split": "val" if seed == clips - 1 else "train", "sound_is_speech": speech}
            flac = encode_flac(in_16_bits(np.resize(sound, 32_000)), 16_000)
            append(shard, ClipRecord(f"c{seed}", video.read_bytes(), priors.encode(), {**info, "frames": 50}, flac))
            video.unlink()
    return folder


def test_speakers_are_read_with_closed_lips_as_their_zero(tmp_path: Path):
    shards = write_shard(tmp_path / "shards", 2)
    (clip,) = load_speakers(shards, "train")
    assert len(clip) == 50 and clip.sound is not None and len(clip.sound) == 32_000
    opening = MouthLoss(MODEL, 0).opening(torch.from_numpy(clip.change)).numpy()
    loud = TalkingFace(0, 64).loudness(np.arange(50) / 25)
    assert np.corrcoef(opening, loud)[0, 1] > 0.95
    assert abs(float(np.polyval(np.polyfit(loud, opening, 1), 0))) < 0.05  # at rest where it is quiet
    with pytest.raises(DataError, match="sound"):
        load_speakers(write_shard(tmp_path / "silent", 2, speech=False), "train")


def test_a_run_goes_on_as_if_it_had_not_stopped_and_its_weights_speak(tmp_path: Path):
    shards = write_shard(tmp_path / "shards", 3)
    recipe = tmp_path / "speaker.toml"
    recipe.write_text(
        'task = "speaker"\nbatch = 2\nlog_every = 1\n[model]\npreset = "tiny"\ndropout = 0.1\n'
        "[losses]\nframes = 16\nhead_frames = 32\nways = 1\nin_step = false\n"
    )
    train(recipe, shards, steps=3, out=tmp_path / "straight")
    train(recipe, shards, ["stop_after_s=1e-9"], steps=3, out=tmp_path / "stopped")
    train(recipe, shards, steps=3, resume=True, out=tmp_path / "stopped")
    straight, resumed = (tmp_path / run / "weights.safetensors" for run in ("straight", "stopped"))
    one, two = load(straight), load(resumed)
    assert one.family == "speaker" and one.config == {**asdict(SpeakerConfig.tiny()), "dropout": 0.1}
    assert all(torch.equal(one.tensors[name], two.tensors[name]) for name in one.tensors)
    speaker = Speaker.load(str(straight))
    speaking = speaker.speaking(np.zeros(40, np.float32))
    assert np.isfinite(speaking.next(speaker.hears.silence()).expression).all()


def test_the_published_learner_is_linear():
    """Of the paper's Psi every frame's answer is a linear regression of its own sound and person."""
    torch.manual_seed(0)
    network = SpeakerNetwork(SpeakerConfig.paper()).eval()
    assert network.config.reach == 0
    heard, person = torch.randn(2, 5, numbers_heard("raw")), torch.randn(2, 40)
    zero = network.psi(0 * heard, 0 * person)
    both = network.psi(heard, person) - zero
    apart = network.psi(heard, 0 * person) + network.psi(0 * heard, person) - 2 * zero
    torch.testing.assert_close(both, apart, atol=1e-4, rtol=1e-4)
    change = network.change(heard, person)
    assert change.shape == (2, 5, 30) and not change[..., 20:].any() and change[..., :20].all()


def test_a_head_s_rhythm_ignores_where_and_how_large_it_rests():
    torch.manual_seed(0)
    learner = HeadMotionLearner(SpeakerConfig.tiny()).eval()
    head, sound = torch.randn(2, 64, 6), torch.randn(2, 64, 80)
    torch.testing.assert_close(learner.encoder(head, sound), learner.encoder(head + 3, sound), atol=1e-4, rtol=1e-4)
