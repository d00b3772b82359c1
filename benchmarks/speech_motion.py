"""How a speaker's motion compares with that of real people who say the same, without a renderer.

python benchmarks/speech_motion.py SHARDS [--model speaker-25] [--plots FOLDER]

Validation clips with their speaker's own sound, in the space of the 3D face: lips after the head's pose is taken out,
in pixels of 256; then the head against the person's own.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from visavis.evaluation.talk_motion import head_facts
from visavis.face.measures import LIPS
from visavis.face.mesh import LIPS as LIP_POINTS
from visavis.motion.speech.head import REFERENCE_FRAMES
from visavis.motion.speech.rest import FaceSpace
from visavis.motion.speech.speaker import Rhythm, Speaker
from visavis.motion.speech.spoken import REST_CAMERA
from visavis.training.data.late import latenesses
from visavis.training.data.speakers import SpeakerClip, load_speakers
from visavis.training.data.speech_motion import SNR_DB, with_noise

Array = NDArray[np.float64]
_HALF = 128  # pixels of a unit of the crop
_LEAST = 64
_SLACK = 4e-3


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shards", type=Path)
    parser.add_argument("--model", default="speaker-25")
    parser.add_argument("--plots", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    speaker = Speaker.load(options.model)
    clips = [clip for clip in load_speakers(options.shards, "val", 2) if clip.sound is not None]
    heard = [speaker.hears.of_clip(clip.sound, len(clip)) for clip in clips if clip.sound is not None]
    print(
        f"{len(clips)} clips, {len({clip.person for clip in clips})} people, {sum(map(len, clips)) / 1500:.1f} minutes"
    )
    lips(speaker, clips, heard, "as recorded", options.plots)
    opening = [mouth_of(speaker, clip.identity, clip.change) for clip in clips]
    numbers = [rows[:, -300:].astype(np.float64) for rows in heard]
    late = latenesses([clip.person for clip in clips], numbers, opening)
    moved = [clip.earlier(int(lag)) for clip, lag in zip(clips, late, strict=True)]
    again = [speaker.hears.of_clip(clip.sound, len(clip)) for clip in moved if clip.sound is not None]
    lips(speaker, moved, again, f"sound moved by {late.min()} to {late.max()} frames", options.plots)
    noise(speaker, moved)
    heads(speaker, clips, heard, options.plots)


def mouth_of(speaker: Speaker, identity: NDArray[np.float32], change: NDArray[np.float32]) -> Array:
    """Mean gap of the inner lips ``[T]``, in units of the unposed face."""
    rows = FaceSpace.of(speaker.model, identity).measures.rows[LIPS]
    return np.asarray(change.astype(np.float64) @ rows.mean(0))


def spoken(speaker: Speaker, clip: SpeakerClip, heard: NDArray[np.float32], reference: int = 0) -> NDArray[np.float32]:
    """Expression ``[T, n_exp]`` as change from rest, as a stream gives it; the first frames may say how wide it is."""
    rhythm, first = None, slice(0, reference)
    if reference:
        opened = mouth_of(speaker, clip.identity, clip.change[first]).astype(np.float32)
        rhythm = speaker.rhythm_of(clip.camera[first], heard[first], opened)
    speaking = speaker.speaking(clip.identity, rhythm=rhythm, head=False)
    return np.stack([speaking.next(rows).expression for rows in heard])


def lips(
    speaker: Speaker, clips: Sequence[SpeakerClip], heard: Sequence[NDArray[np.float32]], title: str, plots: Path | None
) -> None:
    """Distances of lips to the real ones, and how the mouth opens, of ours and of two baselines."""
    made = [spoken(speaker, clip, rows) for clip, rows in zip(clips, heard, strict=True)]
    told = [
        spoken(speaker, clip, rows, min(REFERENCE_FRAMES, len(clip))) for clip, rows in zip(clips, heard, strict=True)
    ]
    print(f"\nlips, {title}: lmd_mouth in px of 256")
    for name, first in (("one frame", 1), (f"{REFERENCE_FRAMES} frames", REFERENCE_FRAMES)):
        rows, ours = [], made if first == 1 else told
        for at, clip in enumerate(clips):
            if len(clip) < first + _LEAST // 2:
                continue
            rest = resting(speaker, clip, first)
            still = np.repeat(clip.change[:1], len(clip), 0)
            all_of = (still, rest + another_sentence(clips, at), rest + ours[at])
            rows.append([apart(speaker, clip, change, first) for change in all_of])
        a, b, c = np.mean(rows, 0)
        print(
            f"  rest of {name}, {len(rows)} clips: the first frame's mouth {a:.3f}, another sentence {b:.3f}, "
            f"ours {c:.3f} ({100 * (c / a - 1):+.1f} %, {100 * (c / b - 1):+.1f} %)"
        )
    facts = []
    for clip, own in zip(clips, made, strict=True):
        mine, real = (mouth_of(speaker, clip.identity, change) for change in (own, clip.change))
        facts.append([correlation(mine, real), correlation(np.diff(mine), np.diff(real)), mine.std() / real.std()])
    correlated, changes, wide = np.mean(facts, 0)
    print(
        f"  opening: correlation {correlated:.3f}, of changes {changes:.3f}, deviation over the real one's {wide:.2f}"
    )
    shares = (5, 25, 50, 75, 95, 99)
    for name, changes_of in (("real", [clip.change for clip in clips]), ("ours", made)):
        values = np.concatenate(
            [mouth_of(speaker, clip.identity, x) for clip, x in zip(clips, changes_of, strict=True)]
        )
        print(f"  {name} opening at {shares} %: {np.percentile(values, shares).round(3).tolist()}")
    if plots is not None:
        pairs = [
            [mouth_of(speaker, clip.identity, change) for change in (clip.change, own)]
            for clip, own in zip(clips, made, strict=True)
        ]
        draw(plots / f"lips-{title.split()[0]}.png", pairs, (-0.02, 0.45))


def resting(speaker: Speaker, clip: SpeakerClip, frames: int) -> NDArray[np.float32]:
    """The resting face that the first frames as a reference suggest: these with their lips closed, on average."""
    space = FaceSpace.of(speaker.model, clip.identity).space
    shapes, rows = clip.change[:frames].astype(np.float64), space.measures.rows[LIPS]
    along = space.spread @ rows.T
    open_ = np.linalg.solve(rows @ along + _SLACK**2 * np.eye(len(rows)), rows @ shapes.T)
    return np.asarray((shapes.T - along @ open_).mean(1), np.float32)


def another_sentence(clips: Sequence[SpeakerClip], at: int) -> NDArray[np.float32]:
    """Changes of the same person who says something else; of who says only one thing, half of the clip later."""
    clip = clips[at]
    others = [other for number, other in enumerate(clips) if other.person == clip.person and number != at]
    change = others[at % len(others)].change if others else np.roll(clip.change, len(clip) // 2, 0)
    return np.asarray(change[np.arange(len(clip)) % len(change)])


def apart(speaker: Speaker, clip: SpeakerClip, change: NDArray[np.float32], first: int) -> float:
    """Mean distance in pixels of the lips' points from the real ones, without pose, in the picture's plane."""
    basis = speaker.model.expression[:, list(LIP_POINTS), :2]
    away = np.einsum("tn,npd->tpd", (change - clip.change)[first:], basis)
    size = np.exp(np.median(clip.camera[:, 2])) * _HALF
    return float(np.linalg.norm(away, axis=2).mean() * size)


def noise(speaker: Speaker, clips: Sequence[SpeakerClip]) -> None:
    """Correlation of the mouth's opening with the real one under noise, and what loudness changes."""
    rng = np.random.default_rng(0)
    chosen = list(clips)[::3]
    print("\nnoise: correlation of opening, and standard deviation over the real one's")
    levels: list[float | None] = [None, *map(float, reversed(SNR_DB))]
    clean: list[Array] = []
    for level in levels:
        rows = []
        for clip in chosen:
            assert clip.sound is not None
            sound = clip.sound if level is None else clip.sound + with_noise(clip.sound, level, rng)
            made = spoken(speaker, clip, speaker.hears.of_clip(np.clip(sound, -1, 1).astype(np.float32), len(clip)))
            mine, real = (mouth_of(speaker, clip.identity, x) for x in (made, clip.change))
            if level is None:
                clean.append(mine)
            rows.append([correlation(mine, real), mine.std() / real.std()])
        print(f"  {'clean' if level is None else f'{level:.0f} dB'}: {np.mean(rows, 0).round(3).tolist()}")
    for gain in (-20, -10, 6):
        same = []
        for clip, before in zip(chosen, clean, strict=True):
            assert clip.sound is not None
            loud = np.clip(clip.sound * 10 ** (gain / 20), -1, 1).astype(np.float32)
            mine = mouth_of(speaker, clip.identity, spoken(speaker, clip, speaker.hears.of_clip(loud, len(clip))))
            same.append([correlation(mine, before), np.abs(mine - before).mean() / before.std()])
        print(f"  gain {gain:+d} dB: correlation with clean, change by deviation {np.mean(same, 0).round(3).tolist()}")


def heads(
    speaker: Speaker, clips: Sequence[SpeakerClip], heard: Sequence[NDArray[np.float32]], plots: Path | None
) -> None:
    """Amplitude, speed and spectrum of heads: with the person's own rhythm, another's, and the mean person's."""
    long = [at for at, clip in enumerate(clips) if len(clip) >= 2 * _LEAST]
    codes = [speaker.rhythm_of(clips[at].camera[:REFERENCE_FRAMES], heard[at][:REFERENCE_FRAMES]) for at in long]
    mean = Rhythm(np.mean([code.code for code in codes], 0))
    real = [head_facts(clips[at].camera[REFERENCE_FRAMES:]) for at in long]
    first = [head_facts(clips[at].camera[:REFERENCE_FRAMES]) for at in long]
    print(f"\nheads: {len(long)} clips of {2 * _LEAST} frames or more; the first {REFERENCE_FRAMES} are the reference")
    facts, shown = {}, []
    for name in ("own", "another's", "mean"):
        rows = []
        for number, at in enumerate(long):
            code = {"own": codes[number], "another's": another(codes, clips, long, number), "mean": mean}[name]
            runs = [moved_head(speaker, clips[at], heard[at], code, seed) for seed in range(3)]
            rows.append(np.mean([head_facts(run[REFERENCE_FRAMES:]) for run in runs], 0))
            if name == "own":
                shown.append([clips[at].camera[REFERENCE_FRAMES:, 4], runs[0][REFERENCE_FRAMES:, 4]])
        facts[name] = np.array(rows)
    facts["reference itself"] = np.array(first)
    wanted = np.array(real)
    for name, rows in facts.items():
        ratio = np.exp(np.median(rows - wanted, 0))
        error = np.abs(rows - wanted)
        near = (error.mean(1) < np.abs(facts["mean"] - wanted).mean(1)).mean()
        print(
            f"  {name}: median ratio amplitude {ratio[:6].round(2).tolist()} speed {ratio[6:12].round(2).tolist()}; "
            f"mean |log ratio| amplitude {error[:, :6].mean():.3f} speed {error[:, 6:12].mean():.3f} "
            f"bands {error[:, 12:].mean():.3f}; nearer than mean in {100 * near:.0f} %"
        )
    if plots is not None:
        draw(plots / "yaw.png", shown, (-0.3, 0.3))


def another(codes: Sequence[Rhythm], clips: Sequence[SpeakerClip], long: Sequence[int], number: int) -> Rhythm:
    """The rhythm of the next clip of somebody else."""
    order = [*range(number + 1, len(long)), *range(number)]
    return next(codes[other] for other in order if clips[long[other]].person != clips[long[number]].person)


def moved_head(speaker: Speaker, clip: SpeakerClip, heard: NDArray[np.float32], rhythm: Rhythm, seed: int) -> Array:
    """Cameras ``[T, 6]`` about rest."""
    speaking = speaker.speaking(clip.identity, rhythm=rhythm, seed=seed)
    return np.stack([speaking.next(rows).camera - REST_CAMERA for rows in heard]).astype(np.float64)


def correlation(one: Array, other: Array) -> float:
    """Pearson's."""
    one, other = one - one.mean(), other - other.mean()
    return float((one * other).sum() / np.sqrt(max((one * one).sum() * (other * other).sum(), 1e-18)))


def draw(path: Path, pairs: Sequence[Sequence[NDArray[np.floating]]], extent: tuple[float, float]) -> None:
    """Real lines grey, made ones red, a row each."""
    import cv2

    rows, height = pairs[:14], 90
    picture = np.full((height * len(rows), 1000, 3), 255, np.uint8)
    for row, lines in enumerate(rows):
        for line, colour in zip(lines, ((120, 120, 120), (30, 30, 220)), strict=True):
            y = (
                (row + 1) * height
                - 4
                - (np.clip(line[:250], *extent) - extent[0]) / (extent[1] - extent[0]) * (height - 8)
            )
            points = np.stack([4 * np.arange(len(y)), y], 1).round().astype(np.int32).reshape(-1, 1, 2)
            cv2.polylines(picture, [points], False, colour, 1, cv2.LINE_AA)
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), picture)


if __name__ == "__main__":
    main()
