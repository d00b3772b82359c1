"""Raw clips to shards: tracked, checked, with their priors computed once.

A clip is the unit of work: one that fails is reported and skipped, never fatal.
"""

from __future__ import annotations

import csv
import multiprocessing
import os
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from visavis.audio.mel import RATE_HZ, STEP_SAMPLES, WINDOW_SAMPLES, log_mel
from visavis.core.errors import DataError, OutputError, VisavisError
from visavis.media.frame import Frame
from visavis.training.data.shards import ClipRecord, Priors, append, code_mask

if TYPE_CHECKING:
    from visavis.face.align import Crop

FPS = 25
SIZE = 256
_SHARD_BYTES = 24 << 20  # small enough to be carried one by one
_VIDEO_SUFFIXES = {".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v"}
_LEAST_SEEN = 0.5
_LOOK_FRAMES, _LOOK_EVERY = 250, 5

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class ClipTask:
    """One clip to prepare.

    Attributes:
        name: unique name in the shards.
        path: the video file.
        identity: whose face it is; splits are by identity.
        split: train, val or another name.
        sound_is_speech: whether the sound is known to be the visible speaker's own.
    """

    name: str
    path: Path
    identity: str
    split: str
    sound_is_speech: bool


@dataclass
class PrepareReport:
    """What :func:`prepare` did."""

    clips: int = 0
    frames: int = 0
    frames_without_face: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    shards: int = 0
    bytes: int = 0
    seconds: float = 0.0

    def as_json(self) -> dict[str, object]:
        """The report as one JSON object, with clips per second."""
        return {**asdict(self), "clips_per_s": self.clips / self.seconds if self.seconds else None}


def find_clips(dataset: Path) -> list[ClipTask]:
    """List the clips of ``dataset``: ``clips/`` with ``manifest.csv``, or any folder of videos."""
    if not dataset.is_dir():
        raise DataError(f"{dataset}: not a folder; give one with clips/*.mp4 and manifest.csv, or a folder of videos")
    manifest = dataset / "manifest.csv"
    if manifest.is_file():
        with manifest.open(newline="", encoding="utf-8") as lines:
            try:
                rows = list(csv.DictReader(lines))
                return [_from_manifest(dataset, row) for row in rows]
            except (KeyError, UnicodeDecodeError, csv.Error) as error:
                raise DataError(f"{manifest}: cannot be read; it needs the columns id, identity, split") from error
    videos = sorted(p for p in dataset.rglob("*") if p.suffix.lower() in _VIDEO_SUFFIXES)
    if not videos:
        raise DataError(f"{dataset}: no manifest.csv and no videos in it")
    return [
        ClipTask("_".join(p.relative_to(dataset).with_suffix("").parts).replace(".", "_"), p, p.stem, "train", False)
        for p in videos
    ]


def _from_manifest(dataset: Path, row: dict[str, str]) -> ClipTask:
    return ClipTask(
        name=row["id"],
        path=dataset / "clips" / f"{row['id']}.mp4",
        identity=row["identity"],
        split=row["split"],
        sound_is_speech=row.get("av_sync", "") == "likely",
    )


def prepare_clip(task: ClipTask) -> ClipRecord:
    """Compute one clip's record; raises :class:`VisavisError` when the clip cannot be used."""
    # Imported here so that training can import this package without MediaPipe and PyAV.
    from visavis.face.segmentation import Segmenter
    from visavis.face.tracker import FaceTracker
    from visavis.media.clock import at_constant_rate
    from visavis.media.reader import VideoReader, probe
    from visavis.media.writer import VideoWriter

    info = probe(task.path)
    as_it_is = (info.width, info.height, info.fps) == (SIZE, SIZE, Fraction(FPS)) and task.path.suffix == ".mp4"
    seen: list[bool] = []
    meshes: list[NDArray[np.float32] | None] = []
    masks: list[NDArray[np.uint8]] = []
    with ExitStack() as stack:
        reader = stack.enter_context(VideoReader(task.path))
        tracker = stack.enter_context(FaceTracker())
        segmenter = stack.enter_context(Segmenter())
        frames: Iterator[Frame] = iter(reader)
        writer = None
        crop = None
        target = None
        if not as_it_is:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            target = folder / "clip.mp4"
            writer = stack.enter_context(VideoWriter(target, size=(SIZE, SIZE), fps=Fraction(FPS)))
            crop = _video_crop(task.path)
            frames = at_constant_rate(frames, Fraction(FPS))
        for frame in frames:
            pixels = frame.pixels if crop is None else crop.cut(frame.pixels, SIZE)
            if writer is not None:
                writer.write(Frame(pixels, frame.time))
            face = tracker.find(pixels)
            seen.append(face is not None)
            meshes.append(None if face is None else face.mesh * np.float32(2 / SIZE) - np.array([1, 1, 0], np.float32))
            masks.append(code_mask(segmenter.mask(pixels)))
        if not meshes or np.mean(seen) < _LEAST_SEEN:
            raise DataError(f"{task.path}: a face is seen in {sum(seen)} of {len(seen)} frames only")
        if writer is not None and target is not None:
            writer.close()
            video = target.read_bytes()
        else:
            video = task.path.read_bytes()
    priors = Priors(np.array(seen), _filled(meshes), np.stack(masks), _clip_mel(task.path, len(meshes)))
    about = {
        "identity": task.identity,
        "split": task.split,
        "frames": len(meshes),
        "fps": FPS,
        "sound_is_speech": task.sound_is_speech and priors.mel is not None,
    }
    return ClipRecord(task.name, video, priors.encode(), about)


def _video_crop(path: Path) -> Crop:
    """One square for the whole clip, from the faces of its first seconds."""
    from visavis.face.align import crop_for
    from visavis.face.tracker import FaceTracker
    from visavis.media.reader import VideoReader

    with VideoReader(path) as reader, FaceTracker(video=False) as tracker:
        looked_at = islice(reader, 0, _LOOK_FRAMES, _LOOK_EVERY)
        faces = [face for frame in looked_at if (face := tracker.find(frame.pixels)) is not None]
        if not faces:
            raise DataError(f"{path}: no face in its first {_LOOK_FRAMES} frames")
        return crop_for(faces, reader.info.height, reader.info.width)


def _filled(meshes: list[NDArray[np.float32] | None]) -> NDArray[np.float32]:
    last = next(mesh for mesh in meshes if mesh is not None)
    out = []
    for mesh in meshes:
        last = last if mesh is None else mesh
        out.append(last)
    return np.stack(out)


def _clip_mel(path: Path, frames: int) -> NDArray[np.float32] | None:
    """Spectrogram whose columns ``4 k`` to ``4 k + 19`` are what ``SoundWindow.at(k / 25)`` gives."""
    from visavis.media.reader import SoundReader

    lead = WINDOW_SAMPLES // 2
    length = (frames - 1) * (RATE_HZ // FPS) + WINDOW_SAMPLES
    samples = np.zeros(length + STEP_SAMPLES, np.float32)
    heard = False
    with SoundReader(path, RATE_HZ) as chunks:
        for chunk in chunks:
            at = round(chunk.time * RATE_HZ) + lead
            first, last = max(at, 0), min(at + len(chunk.samples), len(samples))
            if last > first:
                samples[first:last] = chunk.samples[first - at : last - at]
                heard = True
    return log_mel(samples[:length]) if heard else None


def _work(task: ClipTask) -> ClipRecord | tuple[str, str]:
    try:
        return prepare_clip(task)
    except (VisavisError, OSError) as error:
        return task.name, str(error)


def prepare(
    dataset: Path, output: Path, *, workers: int = 1, force: bool = False, progress: Progress | None = None
) -> PrepareReport:
    """Prepare every clip of ``dataset`` into shards ``<split>-00000.tar`` in ``output``.

    The folder appears under its name only when it is complete.
    """
    tasks = find_clips(dataset)
    if output.exists() and not force:
        raise OutputError(f"{output}: exists already; --force replaces it")
    if not output.parent.is_dir() or not os.access(output.parent, os.W_OK):
        raise OutputError(f"{output}: its folder does not exist or cannot be written to")
    started = time.monotonic()
    report = PrepareReport()
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}-") as aside:
        folder = Path(aside) / output.name
        folder.mkdir()
        with _Shards(folder) as shards:
            for done, result in enumerate(_results(tasks, workers), 1):
                if isinstance(result, ClipRecord):
                    shards.add(result)
                    report.clips += 1
                    report.frames += int(result.info["frames"])
                    report.frames_without_face += int((~Priors.decode(result.priors).seen).sum())
                else:
                    report.failed[result[0]] = result[1]
                if progress is not None:
                    progress(done, len(tasks))
        if not report.clips:
            name, why = next(iter(report.failed.items()))
            raise DataError(f"{dataset}: none of {len(tasks)} clips could be prepared; the first, {name}: {why}")
        report.shards = len(list(folder.glob("*.tar")))
        report.bytes = sum(p.stat().st_size for p in folder.glob("*.tar"))
        _replace(folder, output)
    report.seconds = time.monotonic() - started
    return report


def _results(tasks: list[ClipTask], workers: int) -> Iterator[ClipRecord | tuple[str, str]]:
    if workers <= 1:
        yield from map(_work, tasks)
        return
    # spawn: MediaPipe's threads do not survive a fork.
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        yield from pool.imap(_work, tasks)


def _replace(folder: Path, output: Path) -> None:
    if output.exists():
        folder_of_old = folder.parent / "old"
        output.rename(folder_of_old)
    folder.rename(output)


class _Shards:
    """Open tar files, one a split, each closed when it is large enough to start the next."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[str, tarfile.TarFile] = {}
        self._paths: dict[str, Path] = {}
        self._counts: dict[str, int] = {}

    def __enter__(self) -> _Shards:
        return self

    def __exit__(self, *error: object) -> None:
        for shard in self._open.values():
            shard.close()

    def add(self, record: ClipRecord) -> None:
        split = str(record.info["split"])
        if split in self._open and self._paths[split].stat().st_size > _SHARD_BYTES:
            self._open.pop(split).close()
        if split not in self._open:
            number = self._counts.get(split, 0)
            self._counts[split] = number + 1
            self._paths[split] = self._folder / f"{split}-{number:05d}.tar"
            self._open[split] = tarfile.open(self._paths[split], "w")  # noqa: SIM115 - closed by __exit__
        append(self._open[split], record)
