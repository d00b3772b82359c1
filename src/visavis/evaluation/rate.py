"""Rate and distortion: codecs over the same clips, and what each spends for what it keeps.

Clips are the split's first ones of each identity that are longer than four seconds. All bits that are sent for pictures
count, over the clips' duration; sound does not. Metrics are those of :mod:`visavis.evaluation.suite`.
"""

from __future__ import annotations

import hashlib
import json
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import av
import cv2
import torch

from visavis.core.aside import written_aside
from visavis.core.errors import ConfigError, DataError
from visavis.evaluation.anchors import ANCHORS
from visavis.evaluation.call_codec import CALLS
from visavis.evaluation.coded import Codec
from visavis.evaluation.measure import as_tensor
from visavis.evaluation.metrics.identity import chip, identity_distance
from visavis.evaluation.metrics.image import l1, psnr, ssim
from visavis.evaluation.metrics.landmarks import landmark_distance
from visavis.evaluation.metrics.rate import bits_per_pixel, kbps, wire_bytes
from visavis.evaluation.networks import MetricNetworks
from visavis.evaluation.processes import in_processes
from visavis.evaluation.protocol import find_clips
from visavis.face.tracker import FaceTracker
from visavis.face.types import Face
from visavis.media.frame import Pixels
from visavis.media.reader import VideoReader, probe

FOLDERS = {256: "clips", 512: "clips512"}
LONGER_THAN_S = Fraction(4)
METRICS = ("l1", "psnr", "ssim", "lmd", "lmd_mouth", "aed", "lpips")
_NOT_HERE = {"fid": "compares sets of pictures, for which these clips are too few"}
_CACHE_VERSION = 2

Progress = Callable[[int, int], None]


@dataclass
class ClipRate:
    """One clip at one operating point: sizes, and sums of metrics with how many frames they are over."""

    bytes: int
    wire_bytes: int
    frames: int
    seconds: float
    pixels: int
    no_face: int = 0
    sums: dict[str, tuple[float, int]] = field(default_factory=dict)

    def add(self, name: str, value: float) -> None:
        """Count one frame's metric."""
        total, count = self.sums.get(name, (0.0, 0))
        self.sums[name] = total + value, count + 1


@dataclass(frozen=True)
class Task:
    """One clip through some points of one codec."""

    codec: str
    points: tuple[str, ...]
    clip: Path
    size: int
    every: int


@dataclass(frozen=True)
class Truth:
    """A clip's frames that are measured, by number, each with its face or None; and how many frames there are."""

    pictures: dict[int, tuple[Pixels, Face | None]]
    frames: int
    fps: Fraction


def pick_clips(dataset: Path, split: str, size: int, limit: int | None, longer_than: Fraction) -> list[Path]:
    """One clip an identity, in manifest order; of those picked at 256, the ones that there are at another size."""
    picked: dict[str, Path] = {}
    for clip in find_clips(dataset, split):
        if clip.identity not in picked and (probe(clip.path).duration or 0) > longer_than:
            picked[clip.identity] = clip.path
    folder = dataset / FOLDERS[size]
    paths = [folder / path.name for path in list(picked.values())[:limit]]
    found = [path for path in paths if path.is_file()]
    if not found:
        raise DataError(f"{folder}: no clip of split '{split}' there that is longer than {float(longer_than):g} s")
    return found


def read_truth(task: Task, tracker: FaceTracker) -> Truth:
    """Read the frames of a clip that are measured."""
    pictures: dict[int, tuple[Pixels, Face | None]] = {}
    with VideoReader(task.clip) as reader:
        if (reader.info.width, reader.info.height) != (task.size, task.size):
            raise DataError(f"{task.clip}: is {reader.info.width}x{reader.info.height}; {task.size} a side is needed")
        number = -1
        for number, frame in enumerate(reader):
            if number % task.every == 0:
                pictures[number] = frame.pixels, tracker.find(frame.pixels)
        return Truth(pictures, number + 1, reader.info.fps)


def measure(codec: Codec, point: str, task: Task, truth: Truth, tracker: FaceTracker) -> ClipRate:
    """Code one clip and compare what comes out with its truth."""
    coded = codec.run(task.clip, point, task.every)
    sent = sum(coded.sizes_bytes)
    seconds = float(truth.frames / truth.fps)
    networks = _networks()
    result = ClipRate(sent, wire_bytes(coded.sizes_bytes), truth.frames, seconds, task.size * task.size)
    number = -1
    for number, made in enumerate(coded.frames):
        if number not in truth.pictures:
            continue
        real, face = truth.pictures[number]
        for name, metric in (("l1", l1), ("psnr", psnr), ("ssim", ssim)):
            result.add(name, metric(made, real))
        if networks.lpips is not None:
            with torch.inference_mode():
                result.add("lpips", float(networks.lpips(as_tensor([made]), as_tensor([real]))))
        found = tracker.find(made)
        if found is None or face is None:
            result.no_face += 1
            continue
        for name, distance in zip(
            ("lmd", "lmd_mouth"), landmark_distance(found.mesh, face.mesh, task.size), strict=True
        ):
            result.add(name, distance)
        if networks.identity is not None:
            chips = [chip(made, found.mesh), chip(real, face.mesh)]
            result.add("aed", identity_distance(*networks.identity.embed(chips)))
    if number + 1 != truth.frames:
        raise DataError(f"{task.clip}: {codec.name} gave {number + 1} frames for {truth.frames}")
    return result


def run_task(task: Task) -> list[ClipRate]:
    """Measure all points of a task."""
    codec = find_codec(task.codec)
    with FaceTracker(video=False) as tracker:
        truth = read_truth(task, tracker)
        return [measure(codec, point, task, truth, tracker) for point in task.points]


def find_codec(name: str) -> Codec:
    """A codec by its name."""
    codecs: dict[str, Codec] = {**CALLS, **ANCHORS}
    if name not in codecs:
        raise ConfigError(f"no codec '{name}'; there are {', '.join(codecs)}")
    return codecs[name]


class Cache:
    """Results of pixel codecs in a folder, by what they depend on: clip, codec, point and libraries."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._hashes: dict[Path, str] = {}

    def get(self, task: Task, point: str) -> ClipRate | None:
        """What is known of one point, or None."""
        path = self._path(task, point)
        if path is None or not path.is_file():
            return None
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            values["sums"] = {name: (float(total), int(count)) for name, (total, count) in values["sums"].items()}
            return ClipRate(**values)
        except (ValueError, TypeError, KeyError, AttributeError):
            return None  # written by another version, or damaged: measured anew

    def put(self, task: Task, point: str, result: ClipRate) -> None:
        """Remember one point."""
        path = self._path(task, point)
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            with written_aside(path) as aside:
                aside.write_text(json.dumps(asdict(result)), encoding="utf-8")

    def _path(self, task: Task, point: str) -> Path | None:
        if self._folder is None or task.codec not in ANCHORS:
            return None
        if task.clip not in self._hashes:
            self._hashes[task.clip] = hashlib.sha256(task.clip.read_bytes()).hexdigest()
        libraries = {name: list(version) for name, version in av.library_versions.items()}
        networks = [_networks().used.get(name) for name in METRICS]
        key = [_CACHE_VERSION, networks, self._hashes[task.clip], task.codec, point, task.size, task.every, libraries]
        return self._folder / f"{hashlib.sha256(json.dumps(key).encode()).hexdigest()[:32]}.json"


def compare(
    dataset: Path,
    split: str,
    codecs: Sequence[str],
    *,
    size: int = 256,
    limit: int | None = 8,
    every: int = 5,
    longer_than: Fraction = LONGER_THAN_S,
    workers: int = 1,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Measure codecs on a data set; the report is that of the command line's JSON.

    Args:
        codecs: names; what cannot be run here is left out, with the reason under ``absent``.
        size: 256 or 512, the side of the clips.
        limit: how many clips at most.
        every: every how many frames one is measured; all are coded.
        longer_than: seconds that a clip must exceed.
        workers: processes, one thread each.
        cache: folder in which results of pixel codecs are kept between runs.
    """
    if size not in FOLDERS:
        raise ConfigError(f"clips of {size} a side are not known; {' and '.join(map(str, FOLDERS))} are")
    known = {name: find_codec(name) for name in dict.fromkeys(codecs)}
    absent = {name: reason for name, codec in known.items() if (reason := codec.missing()) is not None}
    clips = pick_clips(dataset, split, size, limit, longer_than)
    store = Cache(cache)
    results: dict[tuple[str, str], dict[Path, ClipRate]] = {}
    tasks = []
    for clip in clips:
        for name, codec in known.items():
            if name in absent:
                continue
            task = Task(name, tuple(codec.points), clip, size, every)
            kept = {point: store.get(task, point) for point in codec.points}
            for point, result in kept.items():
                if result is not None:
                    results.setdefault((name, point), {})[clip] = result
            missing = tuple(point for point, result in kept.items() if result is None)
            if missing:
                tasks.append(Task(name, missing, clip, size, every))
    for done, (task, measured) in enumerate(zip(tasks, _run(tasks, workers), strict=True), 1):
        for point, result in zip(task.points, measured, strict=True):
            results.setdefault((task.codec, point), {})[task.clip] = result
            store.put(task, point, result)
        if progress is not None:
            progress(done, len(tasks))
    lacks = _networks().unavailable
    rows = [
        row(name, point, [results[name, point][clip] for clip in clips])
        for name, codec in known.items()
        if name not in absent
        for point in codec.points
    ]
    return {
        "split": split,
        "size": size,
        "every": every,
        "clips": [clip.stem for clip in clips],
        "rows": rows,
        "absent": absent,
        "unavailable": {**{name: lacks[name] for name in METRICS if name in lacks}, **_NOT_HERE},
    }


def row(codec: str, point: str, clips: Sequence[ClipRate]) -> dict[str, Any]:
    """One row of the report: all clips together, rates over all their time and metrics over all their frames."""
    sent, seconds, frames = (sum(getattr(clip, name) for clip in clips) for name in ("bytes", "seconds", "frames"))
    means = {name: _mean([clip.sums[name] for clip in clips if name in clip.sums]) for name in METRICS}
    return {
        "codec": codec,
        "point": point,
        "clips": len(clips),
        "frames": frames,
        "seconds": round(seconds, 3),
        "kbps": round(kbps(sent, seconds), 3),
        "wire_kbps": round(kbps(sum(clip.wire_bytes for clip in clips), seconds), 3),
        "bpp": round(bits_per_pixel(sent, frames, clips[0].pixels), 6),
        **means,
        **dict.fromkeys(_NOT_HERE),
        "no_face": sum(clip.no_face for clip in clips),
    }


def _mean(sums: Sequence[tuple[float, int]]) -> float | None:
    count = sum(number for _, number in sums)
    return round(sum(total for total, _ in sums) / count, 5) if count else None


@lru_cache
def _networks() -> MetricNetworks:
    return MetricNetworks.load()


def _run(tasks: Sequence[Task], workers: int) -> Iterator[list[ClipRate]]:
    if workers <= 1 or len(tasks) <= 1:
        return map(run_task, tasks)
    return in_processes(run_task, tasks, workers, _start_worker)


def _start_worker() -> None:
    # Ctrl-C is the parent's to handle; each worker keeps to one core.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
