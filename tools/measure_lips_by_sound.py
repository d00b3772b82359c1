"""Measure how much of the lips' motion the numbers of sound carry: ridge regression from training to validation people.

python tools/measure_lips_by_sound.py SHARDS [--weights FILE]

Only clips whose sound is the speaker's own. The lips' gap is the mean distance of the inner lips' pairs of points over
the distance of the eyes' outer corners, of each clip in its own deviations from its own mean: what is wanted is motion,
not how wide somebody tends to open the mouth. The penalty is chosen by training people left out, in five parts. Prints
for each kind of numbers the correlation with the gap, mean over validation clips of 40 frames or more, its standard
error over people, and the same for the gap's change from frame to frame.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from visavis.audio.character_network import CharacterNetwork
from visavis.audio.low_level import SHORT_TERM
from visavis.audio.low_level import SIZE as LOW_LEVEL
from visavis.audio.mel import MEL_FRAMES
from visavis.audio.recogniser import CharacterConfig, CharacterRecogniser
from visavis.audio.speech import SpeechFeatures
from visavis.data.shards import ClipRecord, read
from visavis.face.mesh import LIP_PAIRS

_EYES = (33, 263)
_SHORTEST = 40
_PENALTIES = 10.0 ** np.arange(0, 6.5, 0.5)
_FOLDS = 5
_STEPS_A_FRAME = 4

Array = NDArray[np.float64]


@dataclass(frozen=True)
class _Clip:
    identity: str
    gap: Array
    numbers: dict[str, Array]


def _read(record: ClipRecord, trained: SpeechFeatures, untrained: SpeechFeatures) -> _Clip | None:
    samples, priors = record.sound(), record.decoded()
    if samples is None or priors.mel is None or priors.seen.sum() < _SHORTEST:
        return None
    points, count = priors.mesh.astype(np.float64), len(priors.seen)
    pairs = np.array(LIP_PAIRS)
    gap = np.linalg.norm(points[:, pairs[:, 0]] - points[:, pairs[:, 1]], axis=2).mean(1)
    gap = (gap / np.linalg.norm(points[:, _EYES[0]] - points[:, _EYES[1]], axis=1))[priors.seen]
    speech = trained.of_clip(samples, count)
    windows = np.stack([priors.mel[:, _STEPS_A_FRAME * k :][:, :MEL_FRAMES] for k in range(count)])
    energy = SHORT_TERM.index("energy")
    numbers = {
        "energy alone (1)": speech[:, energy : energy + 1],
        "low-level (84)": speech[:, :LOW_LEVEL],
        "characters (216)": speech[:, LOW_LEVEL:],
        "characters, untrained network (216)": untrained.of_clip(samples, count)[:, LOW_LEVEL:],
        "both (300)": speech,
        "mel, 200 ms (80 x 20)": windows.reshape(count, -1),
        "mel, means of 40 ms (80 x 5)": windows.reshape(count, 80, 5, 4).mean(3).reshape(count, -1),
    }
    kept = {name: values[priors.seen].astype(np.float64) for name, values in numbers.items()}
    return _Clip(str(record.info["identity"]), (gap - gap.mean()) / (gap.std() + 1e-9), kept)


def _fit(clips: list[_Clip], name: str) -> dict[float, tuple[Array, Array, Array]]:
    """Weights for each penalty, with the mean and the deviation of the numbers that they are for."""
    numbers, gap = np.concatenate([clip.numbers[name] for clip in clips]), np.concatenate([clip.gap for clip in clips])
    mean, scale = numbers.mean(0), numbers.std(0) + 1e-6
    plain = (numbers - mean) / scale
    values, vectors = np.linalg.eigh(plain.T @ plain)
    seen = vectors.T @ (plain.T @ gap)
    return {penalty: (vectors @ (seen / (np.maximum(values, 0) + penalty)), mean, scale) for penalty in _PENALTIES}


def _correlations(clips: list[_Clip], name: str, fitted: tuple[Array, Array, Array]) -> tuple[Array, Array]:
    """Of each clip: with the gap, and of the changes from frame to frame."""
    weights, mean, scale = fitted
    found = []
    for clip in clips:
        said = (clip.numbers[name] - mean) / scale @ weights
        found.append((_correlation(said, clip.gap), _correlation(np.diff(said), np.diff(clip.gap))))
    level, change = np.array(found).T
    return level, change


def _correlation(a: Array, b: Array) -> float:
    a, b = a - a.mean(), b - b.mean()
    return float(a @ b / (np.sqrt((a @ a) * (b @ b)) + 1e-12))


def _measured(train: list[_Clip], val: list[_Clip], name: str) -> str:
    people = sorted({clip.identity for clip in train})
    scores = dict.fromkeys(_PENALTIES, 0.0)
    for fold in range(_FOLDS):
        out = set(people[fold::_FOLDS])
        left = [clip for clip in train if clip.identity in out]
        for penalty, fitted in _fit([clip for clip in train if clip.identity not in out], name).items():
            scores[penalty] += _correlations(left, name, fitted)[0].mean() / _FOLDS
    best = max(scores, key=lambda penalty: scores[penalty])
    level, change = _correlations(val, name, _fit(train, name)[best])
    by_person = [np.mean(level[[c.identity == p for c in val]]) for p in sorted({c.identity for c in val})]
    error = np.std(by_person, ddof=1) / np.sqrt(len(by_person))
    return f"| {name} | {scores[best]:.3f} | {level.mean():.3f} ± {error:.3f} | {change.mean():.3f} |"


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("shards", type=Path)
    parser.add_argument("--weights", type=Path, help="of the recogniser, in place of the packaged ones")
    options = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    trained = SpeechFeatures.load(options.weights)
    untrained = SpeechFeatures(CharacterRecogniser.of(CharacterNetwork(CharacterConfig())))
    clips: dict[str, list[_Clip]] = {"train": [], "val": []}
    for record in read(options.shards):
        if record.info.get("sound_is_speech") and record.info["split"] in clips:
            clip = _read(record, trained, untrained)
            if clip is not None:
                clips[record.info["split"]].append(clip)
    for split, found in clips.items():
        frames = sum(len(clip.gap) for clip in found)
        print(f"{split}: {len(found)} clips, {len({clip.identity for clip in found})} people, {frames} frames")
    print("| numbers | training people left out | validation people | changes |")
    print("|---|---|---|---|")
    for name in clips["train"][0].numbers:
        print(_measured(clips["train"], clips["val"], name), flush=True)


if __name__ == "__main__":
    main()
