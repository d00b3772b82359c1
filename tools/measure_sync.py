"""Measure a lip sync network on shards: does it notice when the sound is shifted?

python tools/measure_sync.py SHARDS [WEIGHTS] [--frames N] [--plot FILE.png]

Prints one JSON object. For every clip, d(s) is the mean distance of its mouths and the sound s frames later. With
``--frames`` clips are cut into pieces of N frames first; ``visavis evaluate`` judges 50.

- ``confidence_at_zero``: median of d over -15..15 minus d(s), mean over clips, by s: what is left of the confidence at
  offset 0 when the sound is shifted by s.
- ``by_shift``: the same, by |s|.
- ``clips_within_1``: share of clips whose smallest d lies at -1, 0 or 1; ``offsets`` are those of the score, by person.
- ``clips_within_1_of_person``: share of those that lie at most 1 from the median of their person's other clips: footage
  has offsets of its own, which clips of one recording share.
- ``windows_within_1``: the same for single windows that meet sound at all 31 shifts; chance is 3 / 31.
- ``auc_windows``, ``auc_clips``: how often a distance in sync is smaller than one at |s| >= 5.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata

from visavis.core.config import build
from visavis.judges.mouth_sync import MouthSync, MouthSyncConfig
from visavis.judges.syncnet import REACH
from visavis.training.data.mouths import MouthClip, load_mouths, mel_steps, still_batch
from visavis.weights.checkpoint import load, load_into
from visavis.weights.store import resolve

_FAR = 5
_SHORTEST = 2 * REACH + 20
_SHIFTS = np.arange(-REACH, REACH + 1)

Floats = NDArray[np.float64]


@torch.inference_mode()
def shifted(network: MouthSync, clip: MouthClip) -> Floats:
    """Return ``[31, W]``: distances of each window's mouth and the sound s windows later; NaN beyond the clip."""
    batch = still_batch(clip)
    distances = torch.cdist(network.see(batch.crops, batch.shapes)[0], network.listen(batch.mel)[0]).double().numpy()
    table = np.full((len(_SHIFTS), len(distances)), np.nan)
    for row, shift in zip(table, _SHIFTS, strict=True):
        at = slice(max(0, -shift), len(distances) - max(0, shift))
        row[at] = np.diagonal(distances, shift)
    return table


def cut(clip: MouthClip, frames: int) -> list[MouthClip]:
    """Cut a clip into pieces of as many frames; what is left at its end is dropped."""
    return [
        replace(
            clip,
            crops=clip.crops[first : first + frames],
            shapes=clip.shapes[first : first + frames],
            mel=clip.mel[:, mel_steps(first, frames)],
        )
        for first in range(0, len(clip) - frames + 1, frames)
    ]


def auc(near: Floats, far: Floats) -> float:
    """How often a value of ``near`` is smaller than one of ``far``."""
    ranks = rankdata(np.concatenate([near, far]))[: len(near)]
    return 1 - float(ranks.sum() - len(near) * (len(near) + 1) / 2) / (len(near) * len(far))


def agreements(best: NDArray[np.int_], people: dict[str, NDArray[np.bool_]]) -> list[bool]:
    """Whether each clip's shift is within 1 of the median of its person's others, where there are others."""
    found = []
    for rows in people.values():
        own = best[rows]
        if len(own) > 1:
            found += [abs(own[i] - np.median(np.delete(own, i))) <= 1 for i in range(len(own))]
    return found


def measure(network: MouthSync, clips: list[MouthClip]) -> dict[str, Any]:
    """Everything that the module's docstring names."""
    tables = [shifted(network, clip) for clip in clips]
    means = np.stack([np.nanmean(table, 1) for table in tables])
    whole = np.concatenate([table[:, ~np.isnan(table).any(0)] for table in tables], 1)
    margin = (np.median(means, 1)[:, None] - means).mean(0)
    far = np.abs(_SHIFTS) >= _FAR
    best = _SHIFTS[means.argmin(1)]
    names = [clip.identity for clip in clips]
    people = {who: np.array([name == who for name in names]) for who in dict.fromkeys(names)}
    return {
        "clips": len(clips),
        "people": len(people),
        "windows": sum(table.shape[1] for table in tables),
        "confidence": round(float((np.median(means, 1) - means.min(1)).mean()), 4),
        "confidence_at_zero": {int(s): round(float(m), 4) for s, m in zip(_SHIFTS, margin, strict=True)},
        "by_shift": [round(float(margin[np.abs(_SHIFTS) == s].mean()), 4) for s in range(REACH + 1)],
        "clips_within_1": round(float((np.abs(best) <= 1).mean()), 3),
        "offsets": {who: sorted(-int(shift) for shift in best[rows]) for who, rows in people.items()},
        "clips_within_1_of_person": round(float(np.mean(agreements(best, people))), 3),
        "windows_within_1": round(float((np.abs(_SHIFTS[whole.argmin(0)]) <= 1).mean()), 3),
        "auc_windows": round(auc(whole[REACH], whole[far].ravel()), 3),
        "auc_clips": round(auc(means[:, REACH], means[:, far].ravel()), 3),
    }


def plot(report: dict[str, Any], path: Path) -> None:
    """Draw confidence at offset 0 by shift."""
    from matplotlib import use

    use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 3), layout="constrained")
    axes.plot(_SHIFTS, list(report["confidence_at_zero"].values()), marker=".")
    axes.set(xlabel="shift of the sound in frames of 40 ms", ylabel="confidence at offset 0")
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Measure the weights named on the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("shards", type=Path)
    parser.add_argument("weights", nargs="?", default="sync-96")
    parser.add_argument("--split", default="val")
    parser.add_argument("--frames", type=int)
    parser.add_argument("--plot", type=Path)
    chosen = parser.parse_args()
    path = resolve(chosen.weights)
    checkpoint = load(path)
    network = MouthSync(build(MouthSyncConfig, checkpoint.config))
    load_into(network, checkpoint, path)
    clips = load_mouths(chosen.shards, chosen.split, _SHORTEST)
    if chosen.frames:
        clips = [piece for clip in clips for piece in cut(clip, chosen.frames)]
    report = measure(network.eval(), clips)
    if chosen.plot:
        plot(report, chosen.plot)
    print(json.dumps(report))


if __name__ == "__main__":
    main()
