"""How well people talk by sound alone: every clip's first frame says what is said in that very clip.

The speaker is given the first frame, the clip's sound, and the first three seconds as a reference of how head and
mouth move and how the face rests; what comes after them is measured. Beside the models stand two baselines rendered by
the first of them, a mouth that rests and the motion of another sentence of the same person, and the clips themselves.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from visavis.audio.window import SoundWindow
from visavis.core.errors import DataError, VisavisError
from visavis.evaluation.clip import SIZE
from visavis.evaluation.measure import as_tensor
from visavis.evaluation.metrics import identity
from visavis.evaluation.metrics.frechet import Gaussian, frechet_distance
from visavis.evaluation.metrics.image import ssim
from visavis.evaluation.models import ModelName, load_model, parse_models, resized, sized
from visavis.evaluation.networks import MetricNetworks
from visavis.evaluation.protocol import ClipEntry, find_clips
from visavis.evaluation.suite import REFERENCE as EXACT
from visavis.evaluation.talk_clip import FEWEST, REFERENCE, Clip, mesh_of, read, sentence
from visavis.evaluation.talk_motion import HeadMotion, RestingSpeaker, SentenceSpeaker, mouth_apart
from visavis.face.align import whole
from visavis.face.fitting import fit_clip
from visavis.face.tracker import FaceTracker
from visavis.generators.base import Generator
from visavis.media.frame import Pixels
from visavis.media.reader import SoundReader
from visavis.motion.kind import Mesh, mesh_carrier
from visavis.motion.spoken_face import Sitter
from visavis.nn.engine import PLAIN, Engine
from visavis.pipelines.actor import STEP, rhythm_of
from visavis.pipelines.render import Portrait
from visavis.pipelines.speaks import Speaks, load_speaker
from visavis.pipelines.talking import Performance

#: Models that are measured where nobody says which.
USUAL_ROWS = ("avfr-256", "headgan-256")
STILL, OTHER, REAL = "still mouth", "other sentence", "real"
#: Name, and which way is better: 0 is nearest to 1.
COLUMNS: dict[str, int] = {
    "lmd_mouth": -1,
    "lmd_mouth_motion": -1,
    "vsync_at_zero": 1,
    "vsync_distance": -1,
    "csim": 1,
    "ssim": 1,
    "fid": -1,
    "ffd": -1,
    "head_amplitude": 0,
    "head_speed": 0,
    "head_amplitude_off": -1,
    "head_speed_off": -1,
}
Progress = Callable[[int, int], None]


@dataclass
class Row:
    """Sums of one row of the report.

    Attributes:
        values: of each metric, one a clip.
        features: of rendered frames, by metric.
    """

    values: dict[str, list[float]] = field(default_factory=dict)
    features: dict[str, list[NDArray[np.float32]]] = field(default_factory=dict)

    def add(self, name: str, value: float | None) -> None:
        """Take in a clip's value, if it has one."""
        if value is not None and np.isfinite(value):
            self.values.setdefault(name, []).append(float(value))


def evaluate_talk(
    dataset: Path,
    split: str,
    models: Sequence[str],
    *,
    limit: int | None = None,
    window_s: float = 2.0,
    engine: Engine = EXACT,
    metric_weights: Path | None = None,
    speaker: Speaks | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Measure how well models talk on the clips of a split whose sound is the visible person's speech.

    Args:
        dataset, split, models, engine, metric_weights, progress: as for
            :func:`visavis.evaluation.suite.evaluate`; the models are weights.
        limit: at most so many clips, spread over all there are.
        window_s: seconds of each clip that are rendered, at least 1.2; 0 measures the motion alone.
        speaker: another one than the packaged.

    Returns:
        Rows of metrics: of each model, the two baselines, and the clips themselves.

    Raises:
        DataError: no clips, or none that could be measured.
        ConfigError, WeightsError: a model that cannot talk, or be loaded.
    """
    began = time.monotonic()
    names = parse_models(models)
    generators = {model.label: _generator(model, engine) for model in names}
    speaker = speaker or load_speaker(PLAIN)
    networks = MetricNetworks.load(metric_weights)
    spoken = [entry for entry in find_clips(dataset, split) if entry.speech]
    count = len(spoken) if limit is None else min(limit, len(spoken))
    entries = [spoken[number * len(spoken) // count] for number in range(count)]
    bench = TalkBench(generators, speaker, networks, round(window_s / STEP))
    failed: dict[str, str] = {}
    for done, entry in enumerate(entries, 1):
        try:
            bench.measure(entry, _another(entry, spoken))
        except VisavisError as error:
            failed[entry.name] = str(error)
        if progress is not None:
            progress(done, len(entries))
    if not bench.clips:
        raise DataError(f"{dataset}: none of {len(entries)} clips could be measured; {next(iter(failed.items()), '')}")
    return {
        "protocol": "talk",
        "split": split,
        "clips": bench.clips,
        "frames": bench.frames,
        "models": {model.label: model.name for model in names},
        "rows": bench.rows(),
        "unavailable": {name: why for name, why in networks.unavailable.items() if name in COLUMNS},
        "networks": networks.used,
        "failed": failed,
        "seconds": round(time.monotonic() - began, 2),
    }


def _generator(model: ModelName, engine: Engine) -> Generator:
    generator = load_model(model, engine)
    if generator is None:
        raise DataError(f"--model {model.name}: a model that is built in does not talk; name weights")
    return generator


def _another(entry: ClipEntry, entries: Sequence[ClipEntry]) -> ClipEntry:
    """Another clip of the same person; the clip itself where there is none."""
    at = entries.index(entry)
    later = [*entries[at + 1 :], *entries[:at]]
    return next((other for other in later if other.identity == entry.identity), entry)


class TalkBench:
    """Lets every model say every clip, and adds up.

    Args:
        generators: the models by label.
        speaker: who talks.
        networks: those of metrics that are at hand.
        rendered: how many frames of each clip are rendered; 0 measures the motion alone.
    """

    def __init__(
        self, generators: Mapping[str, Generator], speaker: Speaks, networks: MetricNetworks, rendered: int
    ) -> None:
        self._rendered = max(rendered, FEWEST) if rendered else 0
        self._generators, self._speaker, self._networks = generators, speaker, networks
        self._rows = {name: Row() for name in (*generators, STILL, OTHER, REAL)}
        self._heads: list[tuple[HeadMotion, dict[str, HeadMotion]]] = []
        self.clips = self.frames = 0

    def measure(self, entry: ClipEntry, other: ClipEntry) -> None:
        """Measure one clip; ``other`` is the clip whose motion the baseline takes."""
        clip = read(entry, self._rendered)
        sitter = Sitter([mesh_of(clip.source)], clip.meshes[:REFERENCE])
        heard = self._heard(clip)
        cameras = fit_clip(np.stack(clip.meshes)).camera
        rhythm = rhythm_of(clip.meshes[:REFERENCE], np.stack(heard[:REFERENCE]), self._speaker)
        driven = {
            STILL: Performance(RestingSpeaker(self._speaker.hears), sitter),
            OTHER: Performance(SentenceSpeaker(self._speaker.hears, sentence(clip, other)), sitter),
        }
        played = {name: [one.next(sound) for sound in heard] for name, one in driven.items()}
        talk = Performance(self._speaker, sitter, rhythm=rhythm)
        own = HeadMotion.of(cameras[REFERENCE:])
        moved: dict[str, HeadMotion] = {}
        spoken = [talk.next(sound) for sound in heard]
        base = next(iter(self._generators))
        with FaceTracker(video=False) as tracker:
            for name, generator in self._generators.items():
                moved[name] = HeadMotion.of(fit_clip(np.stack(spoken[REFERENCE:])).camera)
                self._row(name, clip, self._render(generator, clip, spoken, talk), spoken, tracker)
            for name, meshes in played.items():
                rendered = self._render(self._generators[base], clip, meshes, driven[name])
                self._row(name, clip, rendered, meshes, tracker)
            self._row(REAL, clip, clip.pictures, None, tracker)
        self._heads.append((own, moved))
        self.clips += 1
        self.frames += len(clip.pictures)

    def rows(self) -> list[dict[str, Any]]:
        """Rows of the report; a metric that a row has not is None."""
        found = []
        for name, row in self._rows.items():
            values: dict[str, Any] = {"model": name, **dict.fromkeys(COLUMNS)}
            values |= {metric: round(statistics.fmean(each), 4) for metric, each in row.values.items()}
            if name != REAL:
                values |= {metric: self._frechet(metric, row) for metric in ("fid", "ffd")}
            if name in self._generators:
                values |= self._dynamics(name)
            found.append(values)
        mean = {"model": "mean person's head", **dict.fromkeys(COLUMNS), **self._dynamics(None)}
        return [*found, mean]

    def _heard(self, clip: Clip) -> list[NDArray[np.float32]]:
        with SoundReader(clip.entry.path, self._speaker.hears.rate_hz) as chunks:
            window = SoundWindow(chunks, self._speaker.hears)
            return [window.at(number * STEP) for number in range(len(clip.meshes))]

    def _render(
        self, generator: Generator, clip: Clip, meshes: Sequence[Mesh], performance: Performance
    ) -> list[Pixels]:
        """Pictures of the frames that are measured; those before them are followed."""
        if not clip.pictures:
            return []
        source = sized(clip.source, generator.size)
        carry = mesh_carrier(generator.kind, generator.analyse(source), performance.resting, ahead=performance.ahead)
        made = []
        hears = generator.hears
        with SoundReader(clip.entry.path, 16_000 if hears is None else hears.rate_hz) as chunks:
            sound_at = None if hears is None else SoundWindow(chunks, hears).at
            portrait = Portrait(generator, [source], sound_at)
            for number, mesh in enumerate(meshes[: clip.first + len(clip.pictures)]):
                motion = carry(mesh)
                if number < clip.first:
                    portrait.skip(motion)
                else:
                    made.append(resized(portrait.picture(motion, number * STEP), SIZE))
        return made

    def _row(
        self, name: str, clip: Clip, pictures: Sequence[Pixels], meshes: Sequence[Mesh] | None, tracker: FaceTracker
    ) -> None:
        row, networks = self._rows[name], self._networks
        tracker.find(clip.source.picture)
        faces = [tracker.find(picture) for picture in pictures]
        truth = clip.meshes[clip.first : clip.first + len(pictures)]
        own = mesh_of(clip.source)
        pairs = [(_relative(face.mesh), true) for face, true in zip(faces, truth, strict=True) if face is not None]
        if meshes is not None:
            row.add("lmd_mouth", mouth_apart(pairs, own))
            rest = list(zip(meshes[REFERENCE:], clip.meshes[REFERENCE:], strict=True))
            row.add("lmd_mouth_motion", mouth_apart(rest, own))
        if meshes is not None and pictures:
            row.add("ssim", statistics.fmean(ssim(a, b) for a, b in zip(pictures, clip.pictures, strict=True)))
        seen = [face for face in faces if face is not None]
        if networks.vsync is not None and len(seen) == len(pictures) >= FEWEST:
            score = networks.vsync.score(np.stack(pictures), np.stack([face.mesh[:, :2] for face in seen]), clip.sound)
            row.add("vsync_at_zero", score.at_zero)
            row.add("vsync_distance", score.distance)
        if networks.identity is not None and pictures:
            chips = [identity.chip(p, f.mesh) for p, f in zip(pictures, faces, strict=True) if f is not None][::5]
            source = networks.identity.embed([identity.chip(clip.source.picture, (own + 1) * (SIZE / 2))])[0]
            found = networks.identity.embed(chips)
            if len(found):
                row.add("csim", statistics.fmean(identity.identity_similarity(source, one) for one in found))
        if not pictures:
            return
        for metric, features in features_of(networks, pictures[::5]).items():
            row.features.setdefault(metric, []).append(features)

    def _frechet(self, metric: str, row: Row) -> float | None:
        made, real = row.features.get(metric), self._rows[REAL].features.get(metric)
        if not made or not real:
            return None
        sides = [Gaussian(parts[0].shape[1]) for parts in (made, real)]
        for side, parts in zip(sides, (made, real), strict=True):
            for part in parts:
                side.add(part)
        return round(frechet_distance(*sides), 3)

    def _dynamics(self, name: str | None) -> dict[str, float]:
        """Head motion over each person's own, and how far off it is; None is the mean of all people."""
        mean = HeadMotion.mean([own for own, _ in self._heads])
        pairs = [(own, mean if name is None else moved[name]) for own, moved in self._heads]
        values: dict[str, float] = {}
        for what in ("amplitude", "speed"):
            ratios = np.array([getattr(made, what) / max(getattr(own, what), 1e-6) for own, made in pairs])
            logs = np.log(np.maximum(ratios, 1e-6))
            values[f"head_{what}"] = round(float(np.exp(np.median(logs))), 4)
            values[f"head_{what}_off"] = round(float(np.mean(np.abs(logs))), 4)
        return values


def features_of(networks: MetricNetworks, pictures: Sequence[Pixels]) -> dict[str, NDArray[np.float32]]:
    """Features of the Frechet distances of whatever network is at hand."""
    found: dict[str, NDArray[np.float32]] = {}
    for name, network in (("fid", networks.inception), ("ffd", networks.face and networks.face.embedding)):
        if network is not None:
            with torch.inference_mode():
                found[name] = network(as_tensor(pictures)).float().numpy()
    return found


def _relative(mesh: Mesh) -> Mesh:
    """A mesh in pixels of a rendered picture, in [-1, 1]."""
    return whole(SIZE, SIZE).to_crop(mesh)


def table(report: Mapping[str, Any]) -> str:
    """Rows and metrics as a Markdown table; those that no row has are left out."""
    arrows = {1: "↑", -1: "↓", 0: "→1"}
    names = [name for name in COLUMNS if any(row[name] is not None for row in report["rows"])]
    lines = ["| | " + " | ".join(f"{name} {arrows[COLUMNS[name]]}" for name in names) + " |"]
    lines.append("|---" * (len(names) + 1) + "|")
    for row in report["rows"]:
        cells = ["-" if row[name] is None else f"{row[name]:.4g}" for name in names]
        lines.append(f"| {row['model']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def told(report: Mapping[str, Any]) -> Iterator[str]:
    """Lines that belong under the table."""
    yield f"{report['clips']} clips of split `{report['split']}`, {report['frames']} frames rendered of each model."
    for title in ("unavailable", "failed"):
        for name, why in report[title].items():
            yield f"{'not computed' if title == 'unavailable' else 'left out'}: {name}: {why}"
