"""Make the heads of a trained speaker move as far as people's do: python tools/calibrate_heads.py SHARDS IN -o OUT

Phi learns by the likelihood of spectra in windows of up to 96 frames without their means, which hardly hear the slow
bands of noise: heads came out a quarter too still, pitch most of all. Here each training clip's first 64 frames tell a
rhythm, the frames after them are made with and without the slow bands, and of each of the six numbers of a camera the
slow and the fast bands are scaled by those two factors with which amplitude, speed and spectrum are those of real heads
on the geometric mean. Factors are of all people, so that who moves more than others still does. They are multiplied
into the weights of the dynamic layer.
"""

from __future__ import annotations

import argparse
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from visavis.data.shards import read
from visavis.evaluation.talk_motion import head_facts
from visavis.face.fitting import fit_clip
from visavis.motion.speech.head import CAMERA_VALUES, HEAD_SCALE, REFERENCE_FRAMES, moved
from visavis.motion.speech.heard import SpeakerSound
from visavis.motion.speech.speaker import Speaker
from visavis.motion.speech.sway import BAND_OF, Sway
from visavis.training.data.speech_motion import spectra
from visavis.weights.checkpoint import load, save

Array = NDArray[np.floating[Any]]
#: The first so many bands are slow: corners up to 0.5 Hz.
SLOW = 3
_SLOW_FACTORS, _FAST_FACTORS = (1.0, 1.15, 1.3, 1.5, 1.75, 2.0, 2.3), (0.7, 0.8, 0.9, 1.0, 1.1, 1.2)
#: How much amplitude, speed and each of three bands of frequency count, and how much a factor that is not 1 must win.
_COUNT, _PRIOR = np.array([1, 1, 0.5, 0.5, 0.5]), 0.02
_RUNS = 6
_LAYER = "phi.encoder.weights"


class Made(NamedTuple):
    """One clip: who, what the real head does, and what makes up the made ones ``[runs, T, 6]``."""

    person: str
    real: Array
    told: Array
    slow: Array
    fast: Array


def main() -> None:
    """Find the factors, print what they change, and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("shards", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    speaker = Speaker.load(str(options.weights))
    clips = [made(speaker, *clip, seed) for seed, clip in enumerate(long_clips(options.shards))]
    print(f"{len(clips)} clips of {len({clip.person for clip in clips})} people")
    slow, fast = factors(clips)
    for name, pair in (("as learned", (np.ones(6), np.ones(6))), ("scaled", (slow, fast))):
        off = np.array([apart(clip, *pair) for clip in clips])
        print(f"{name}: median amplitude, speed {np.exp(np.median(off, 0))[:12].round(2).tolist()}")
    print(f"slow bands times {slow.tolist()}, fast times {fast.tolist()} (tx, ty, size, pitch, yaw, roll)")
    checkpoint = load(options.weights)
    scale = torch.from_numpy(np.where(BAND_OF[None] < SLOW, slow[:, None], fast[:, None])).float()
    for name in (f"{_LAYER}.weight", f"{_LAYER}.bias"):
        tensor = checkpoint.tensors[name]
        rows = tensor.float().view(CAMERA_VALUES, -1, *tensor.shape[1:])
        rows[:, -len(BAND_OF) :] *= scale.view(*scale.shape, *[1] * (tensor.dim() - 1))
        checkpoint.tensors[name] = rows.reshape(tensor.shape)
    meta = checkpoint.meta | {"heads": {"slow": slow.tolist(), "fast": fast.tolist()}}
    save(options.output, checkpoint.tensors, family=checkpoint.family, config=checkpoint.config, meta=meta, half=True)


def long_clips(shards: Path) -> list[tuple[str, Array, Array]]:
    """Person, cameras and sound of training clips of at least twice a reference's length."""
    found = []
    for record in read(shards):
        sound = record.sound() if record.info["split"] == "train" and record.info.get("sound_is_speech") else None
        if sound is None or len(mesh := record.decoded().mesh) < 2 * REFERENCE_FRAMES:
            continue
        found.append((str(record.info["identity"]), fit_clip(mesh).camera, sound))
    return found


@torch.inference_mode()
def made(speaker: Speaker, person: str, camera: Array, sound: Array, seed: int) -> Made:
    """Heads with the rhythm of the clip's beginning."""
    heard = SpeakerSound("mel").of_clip(np.asarray(sound, np.float32), len(camera))
    first = slice(0, REFERENCE_FRAMES)
    phi = speaker.network.phi
    layer = phi.encoder.layer(torch.from_numpy(speaker.rhythm_of(camera[first], heard[first]).code)[None])
    features, gates = phi.extrapolator(torch.from_numpy(spectra(heard))[None])
    noise = torch.from_numpy(Sway(np.random.default_rng(seed), _RUNS).take(len(camera))).float()
    told = moved(layer, features, torch.zeros_like(noise[:1]))[0].numpy()
    slow = torch.from_numpy(BAND_OF < SLOW).float()
    parts = [(gates * noise * part @ layer.noise.transpose(1, 2)).numpy() for part in (slow, 1 - slow)]
    after = slice(REFERENCE_FRAMES, None)
    return Made(person, head_facts(camera[after]), told[after], parts[0][:, after], parts[1][:, after])


def apart(clip: Made, slow: Array, fast: Array) -> Array:
    """Logarithms ``[30]`` of the made heads' sizes over the real one's."""
    runs = (clip.told + slow * clip.slow + fast * clip.fast) * np.array(HEAD_SCALE)
    return np.mean([head_facts(run) for run in runs], 0) - clip.real


def factors(clips: list[Made]) -> tuple[Array, Array]:
    """Of each number of a camera the two factors with which real and made are alike on the mean of people."""
    people = [clip.person for clip in clips]
    count = np.array([1 / np.sqrt(people.count(name)) for name in people])
    pairs = list(product(_SLOW_FACTORS, _FAST_FACTORS))
    losses = []
    for slow, fast in pairs:
        off = count @ np.array([apart(clip, np.full(6, slow), np.full(6, fast)) for clip in clips]) / count.sum()
        losses.append(_COUNT @ np.square(off.reshape(5, 6)) + _PRIOR * ((slow - 1) ** 2 + (fast - 1) ** 2))
    best = np.array([pairs[at] for at in np.argmin(losses, 0)])
    return best[:, 0], best[:, 1]


if __name__ == "__main__":
    main()
