"""Protocols over a data set: every model renders the same frames, and is measured the same way."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from visavis.audio.mel import RATE_HZ
from visavis.audio.window import SoundWindow
from visavis.core.errors import DataError, FaceError
from visavis.evaluation.baselines import BUILT_IN
from visavis.evaluation.metrics.image import l1, psnr, ssim
from visavis.evaluation.metrics.landmarks import landmark_distance
from visavis.face.align import whole
from visavis.face.tracker import FaceTracker
from visavis.face.types import Face, Observation
from visavis.generators.base import Generator, Prior
from visavis.media.frame import Pixels
from visavis.media.reader import SoundReader, VideoReader
from visavis.motion.transfer import Mode, Transfer
from visavis.pipelines.analyse import Analyser
from visavis.pipelines.load import load_generator
from visavis.pipelines.reenact import to_pixels

_SIZE = 256
_ALL_PRIORS = tuple(Prior)
UNAVAILABLE = {
    "aed": "no identity network at hand",
    "csim": "no identity network at hand",
    "fid": "no Inception weights at hand",
    "lpips": "no LPIPS weights at hand",
    "sync": "no SyncNet weights at hand",
    "fvd": "no I3D weights at hand",
}
_AGAINST_TRUTH = ("l1", "psnr", "ssim", "lmd", "lmd_mouth")

Progress = Callable[[int, int], None]
Rendered = Callable[[Observation], Pixels]


@dataclass(frozen=True)
class ClipFrames:
    """One clip's first frame, and the frames that are evaluated, with their priors."""

    identity: str
    source: Observation
    driving: list[Observation]
    faces: list[Face]


@dataclass
class Scores:
    """Sums of one model's metrics."""

    values: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in _AGAINST_TRUTH})
    frames: int = 0
    frames_without_face: int = 0

    def add(self, made: Pixels, truth: Observation, truth_face: Face, tracker: FaceTracker) -> None:
        """Measure one frame against its ground truth."""
        self.frames += 1
        for name, metric in (("l1", l1), ("psnr", psnr), ("ssim", ssim)):
            self.values[name].append(metric(made, truth.picture))
        face = tracker.find(made)
        if face is None:
            self.frames_without_face += 1
            return
        distance, mouth = landmark_distance(face.mesh, truth_face.mesh, made.shape[0])
        self.values["lmd"].append(distance)
        self.values["lmd_mouth"].append(mouth)

    def row(self, model: str) -> dict[str, Any]:
        """One row of the report."""
        means = {name: round(float(np.mean(v)), 5) if v else None for name, v in self.values.items()}
        nulls = dict.fromkeys(UNAVAILABLE)
        return {"model": model, **means, **nulls, "frames": self.frames, "no_face": self.frames_without_face}


def clip_paths(dataset: Path, split: str, limit: int | None) -> list[tuple[str, Path]]:
    """``(identity, path)`` of the split's clips, in manifest order."""
    manifest = dataset / "manifest.csv"
    if not manifest.is_file():
        raise DataError(f"{dataset}: no manifest.csv here; evaluation needs clips/*.mp4 and manifest.csv")
    with manifest.open(newline="", encoding="utf-8") as lines:
        try:
            rows = [row for row in csv.DictReader(lines) if row["split"] == split]
            found = [(row["identity"], dataset / "clips" / f"{row['id']}.mp4") for row in rows]
        except (KeyError, csv.Error, UnicodeDecodeError) as error:
            raise DataError(f"{manifest}: cannot be read; it needs the columns id, identity, split") from error
    if not found:
        raise DataError(f"{manifest}: no clip of split '{split}'")
    return found[:limit]


def read_clip(identity: str, path: Path, every: int) -> ClipFrames:
    """Read the first frame with a face, and every ``every``-th frame after it that shows one."""
    driving: list[Observation] = []
    faces: list[Face] = []
    source: Observation | None = None
    with ExitStack() as stack:
        reader = stack.enter_context(VideoReader(path))
        analyser = stack.enter_context(Analyser(_ALL_PRIORS, video=False))
        sound = stack.enter_context(SoundReader(path, RATE_HZ))
        window = SoundWindow(sound) if sound.has_sound else None
        for number, frame in enumerate(reader):
            if source is not None and number % every:
                continue
            face = analyser.find(frame)
            if face is None:
                continue
            crop = whole(*frame.pixels.shape[:2])
            mel = window.at(frame.time) if window is not None else None
            observed = analyser.observe(frame, face, crop, _SIZE, mel)
            if source is None:
                source = observed
            else:
                driving.append(observed)
                faces.append(Face(crop.to_crop(face.mesh) * (_SIZE / 2) + _SIZE / 2))
    if source is None:
        raise FaceError(f"{path}: no face in it")
    return ClipFrames(identity, source, driving, faces)


def renderer(model: str | Generator, source: Observation, start: Observation, mode: Mode) -> Rendered:
    """How one model renders driving observations for one source."""
    if isinstance(model, str):
        built_in = BUILT_IN[model]
        return lambda driving: built_in(source, driving)
    generator = model
    person = generator.prepare([source])
    carry = Transfer(generator.analyse(source), generator.analyse(start), mode)

    def render(driving: Observation) -> Pixels:
        sound = driving.mel if Prior.MEL in generator.needs else None
        return to_pixels(generator.render(person, carry(generator.analyse(driving)), sound))

    return render


def evaluate(
    dataset: Path,
    split: str,
    models: Sequence[str],
    *,
    protocol: str = "same",
    limit: int | None = None,
    every: int = 5,
    device: str = "auto",
    progress: Progress | None = None,
    sheet: Path | None = None,
) -> dict[str, Any]:
    """Measure models on a data set; the report is that of the command line's JSON.

    Args:
        models: names or paths of weights, `copy`, `mesh-warp`.
        protocol: `same`: a clip's first frame is animated by the rest of the clip. `cross`: every clip drives the first
            frame of the next identity's clip, so that there is no ground truth.
        limit: how many clips at most.
        every: every how many frames one is measured.
        sheet: folder for a contact sheet a clip (source | driver | each model).
    """
    clips = clip_paths(dataset, split, limit)
    loaded: dict[str, str | Generator] = {
        name: name if name in BUILT_IN else load_generator(name, device=device, precision="fp32") for name in models
    }
    scores = {name: Scores() for name in models}
    frames = 0
    with FaceTracker(video=False) as tracker:
        for done, (clip, source) in enumerate(_pairs(clips, protocol, every), 1):
            mode = Mode.ABSOLUTE if protocol == "same" else Mode.RELATIVE
            renders = {name: renderer(model, source, clip.source, mode) for name, model in loaded.items()}
            frames += len(clip.driving)
            shown = []
            for driving, face in zip(clip.driving, clip.faces, strict=True):
                made = {name: render(driving) for name, render in renders.items()}
                if protocol == "same":
                    for name, picture in made.items():
                        scores[name].add(picture, driving, face, tracker)
                shown.append([source.picture, driving.picture, *made.values()])
            if sheet is not None and shown:
                _write_sheet(sheet / f"{done:03d}.png", shown)
            if progress is not None:
                progress(done, len(clips))
    rows = [scores[name].row(name) for name in models]
    unavailable = dict(UNAVAILABLE)
    if protocol == "cross":
        unavailable |= {name: "the cross protocol has no ground truth" for name in _AGAINST_TRUTH}
    return {"protocol": protocol, "clips": len(clips), "frames": frames, "rows": rows, "unavailable": unavailable}


def _pairs(clips: list[tuple[str, Path]], protocol: str, every: int) -> Iterator[tuple[ClipFrames, Observation]]:
    """Each clip with the observation it animates."""
    for number, (identity, path) in enumerate(clips):
        clip = read_clip(identity, path, every)
        if protocol == "same":
            yield clip, clip.source
            continue
        later = clips[number + 1 :] + clips[:number]
        other = next((entry for entry in later if entry[0] != identity), None)
        if other is None:
            raise DataError("the cross protocol needs clips of two identities at least")
        yield clip, read_clip(*other, every=1_000_000).source


def _write_sheet(path: Path, rows: list[list[Pixels]], most: int = 6) -> None:
    from visavis.media.still import write_picture

    picked = [rows[i] for i in np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(int)]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_picture(path, np.concatenate([np.concatenate(row, 1) for row in picked], 0))
