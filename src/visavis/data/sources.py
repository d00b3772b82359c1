"""Which clips a data set holds: a manifest, a plain folder of videos, or VoxCeleb's folders.

Splits are by identity, so that nobody is in two: by the manifest's column or ``splits.csv``, else by a hash of the
identity's name, which does not change when other people are added.
"""

from __future__ import annotations

import csv
import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from visavis.core.errors import DataError, MediaError

VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v"})
MANIFEST = "manifest.csv"
SPLITS = "splits.csv"
#: Long videos of a plain folder become clips of about this many seconds.
PIECE_S = 60
#: Smaller files are not long: asking a million of them for their length would take an hour.
_MAY_BE_LONG_BYTES = 2 << 20
VAL_SHARE = 0.05
_LONGEST_NAME = 150
_SPLIT = re.compile(r"[A-Za-z0-9_]{1,40}")


@dataclass(frozen=True)
class ClipTask:
    """One clip to prepare.

    Attributes:
        name: unique name in the shards, of letters, digits, ``_`` and ``-``.
        path: the video file.
        identity: whose face it is; splits are by identity.
        split: train, val or another name.
        sound_is_speech: whether the sound is known to be the visible speaker's own; None when nobody knows, and it
            has to be measured.
        boxes: file with the face's boxes (see :mod:`visavis.data.voxceleb`), or None to look for a face.
        start: seconds at which the clip begins in the video.
        seconds: length of the clip, or None for all that follows (or what the boxes say).
        face: which face, 0 for the largest; boxes say it themselves.
    """

    name: str
    path: Path
    identity: str
    split: str
    sound_is_speech: bool | None = None
    boxes: Path | None = None
    start: Fraction = Fraction(0)
    seconds: Fraction | None = None
    face: int = 0


@dataclass(frozen=True)
class Dataset:
    """What :func:`find_clips` found.

    Attributes:
        clips: one task a clip, in a fixed order.
        missing: names of the videos that the data set speaks of and that are not there.
    """

    clips: tuple[ClipTask, ...]
    missing: tuple[str, ...]


def find_clips(
    dataset: Path, *, videos: Path | None = None, val_share: float = VAL_SHARE, follow_links: bool = False
) -> Dataset:
    """List the clips of ``dataset``.

    Args:
        dataset: a folder with ``manifest.csv``, with VoxCeleb's ``id/video/00001.txt`` files, or with videos.
        videos: where VoxCeleb's videos lie when not under ``dataset``.
        val_share: share of the identities that go to val when nothing else says who does.
        follow_links: whether links may lead to files outside of ``dataset`` and ``videos``.

    Raises:
        DataError: there is no such folder, nothing in it can be used, its tables are damaged, or it leads elsewhere.
    """
    found = _listed(dataset, videos, val_share)
    if not follow_links:
        refuse_links(found.clips, [dataset, videos or dataset])
    return found


def _listed(dataset: Path, videos: Path | None, val_share: float) -> Dataset:
    # Imported here, since VoxCeleb's module builds on the types above.
    from visavis.data import voxceleb

    if not dataset.is_dir():
        raise DataError(f"{dataset}: not a folder; give one with clips/*.mp4 and manifest.csv, or a folder of videos")
    splits = Splits(_split_table(dataset), val_share)
    if (dataset / MANIFEST).is_file():
        return _manifest(dataset, splits)
    tracks = voxceleb.track_files(dataset)
    if tracks:
        return voxceleb.clips(dataset, tracks, videos or dataset, splits)
    return _folder(dataset, splits)


class Splits:
    """Says which split an identity belongs to.

    Args:
        known: identities whose split is given.
        val_share: share of the others that is held back as val.
    """

    def __init__(self, known: Mapping[str, str], val_share: float) -> None:
        self._known, self._val_share = known, val_share

    def of(self, identity: str, otherwise: str | None = None) -> str:
        """Return the split of ``identity``; ``otherwise`` is what the data set itself says, if anything."""
        split = self._known.get(identity) or otherwise
        if split is None:
            place = int.from_bytes(hashlib.sha256(identity.encode()).digest()[:8], "big") / 2**64
            split = "val" if place < self._val_share else "train"
        return checked_split(split)


def checked_split(split: str) -> str:
    """Return ``split`` if it can be part of a shard's name."""
    if not _SPLIT.fullmatch(split):
        raise DataError(f"'{split}' is no name for a split; letters, digits and _ are allowed")
    return split


def videos_under(folder: Path) -> list[Path]:
    """All videos in a folder and its folders, hidden ones left out, in order of name."""
    found = []
    for here, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths = [Path(here, name) for name in files if not name.startswith(".")]
        # Reading from a pipe or a device would wait for ever.
        found += [path for path in paths if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file()]
    return sorted(found)


def plain_name(parts: Iterable[str]) -> str:
    """Join parts of a path into a name that a shard and every file system can hold."""
    name = re.sub(r"[^A-Za-z0-9_-]", "_", "_".join(parts))
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 17]}_{_short_hash(name)}"


def uniquely_named(clips: Iterable[ClipTask]) -> tuple[ClipTask, ...]:
    """Give clips whose plain names fall together (``a.mp4`` and ``a.mov``) a hash of where they lie."""
    clips = list(clips)
    counts: dict[str, int] = {}
    for clip in clips:
        counts[clip.name] = counts.get(clip.name, 0) + 1
    return tuple(
        clip
        if counts[clip.name] == 1
        else replace(clip, name=f"{clip.name}_{_short_hash(f'{clip.path} {clip.start}')}")
        for clip in clips
    )


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:16]


def _rows(table: Path, needed: str) -> list[dict[str, str]]:
    try:
        with table.open(newline="", encoding="utf-8-sig") as lines:
            rows = list(csv.DictReader(lines))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{table}: cannot be read as a table ({error})") from error
    columns = [column.strip() for column in needed.split(",")]
    for number, row in enumerate(rows, 2):
        if not all(row.get(column) for column in columns):
            raise DataError(f"{table}, line {number}: cannot be used; it needs the columns {needed}")
    return rows


def _split_table(dataset: Path) -> dict[str, str]:
    table = dataset / SPLITS
    return {row["identity"]: row["split"] for row in _rows(table, "identity, split")} if table.is_file() else {}


def clip_path(dataset: Path, name: str) -> Path:
    """Where a manifest's clip lies; an id that would lead out of the folder of clips is refused."""
    if {"/", "\\", "\0"} & set(name) or name in (".", ".."):
        raise DataError(
            f"{dataset / MANIFEST}: '{name[:80]}' is no id; it is the name of a file in clips/, without .mp4"
        )
    return dataset / "clips" / f"{name}.mp4"


def refuse_links(clips: Iterable[ClipTask], folders: Sequence[Path]) -> None:
    """Refuse clips that are read from elsewhere than from these folders, by a link that somebody put there.

    Raises:
        DataError: names the first such clip.
    """
    inside = [folder.resolve() for folder in folders]
    for clip in clips:
        for path in filter(None, (clip.path, clip.boxes)):
            real = _resolved(path)
            if not any(real.is_relative_to(folder) for folder in inside):
                raise DataError(f"{path}: is a link to outside of the data set; --follow-links reads such files too")


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError):  # links that lead in a circle; opening it says so
        return path.absolute()


def _manifest(dataset: Path, splits: Splits) -> Dataset:
    clips, missing, names = [], [], set()
    for row in _rows(dataset / MANIFEST, "id, identity"):
        name, path = plain_name([row["id"]]), clip_path(dataset, row["id"])
        if name in names:
            raise DataError(f"{dataset / MANIFEST}: the id '{row['id']}' stands there twice")
        names.add(name)
        if not path.is_file():
            missing.append(row["id"])
            continue
        split = splits.of(row["identity"], row.get("split") or None)
        clips.append(ClipTask(name, path, row["identity"], split, sound_is_speech=row.get("av_sync", "") == "likely"))
    return Dataset(tuple(clips), tuple(missing))


def _folder(dataset: Path, splits: Splits) -> Dataset:
    """A video in a folder of its own is of the person that the topmost folder names; a loose one of its own person."""
    videos = videos_under(dataset)
    if not videos:
        raise DataError(f"{dataset}: no {MANIFEST} and no videos in it")
    clips: list[ClipTask] = []
    for path in videos:
        parts = path.relative_to(dataset).with_suffix("").parts
        identity = parts[0]
        whole = ClipTask(plain_name(parts), path, identity, splits.of(identity))
        clips += _pieces(whole)
    return Dataset(uniquely_named(clips), ())


def _pieces(whole: ClipTask) -> Iterator[ClipTask]:
    seconds = _length(whole.path)
    count = 1 if seconds is None else max(1, round(seconds / PIECE_S))
    if seconds is None or count == 1:
        yield whole
        return
    for number in range(count):
        start = seconds * number / count
        yield replace(whole, name=f"{whole.name}_{number:03d}", start=start, seconds=seconds / count)


def _length(path: Path) -> Fraction | None:
    """Seconds of a video by its header; None when it is small, does not say, or cannot be read (reported later)."""
    from visavis.media.timeline import length_of

    try:
        return length_of(path) if path.stat().st_size >= _MAY_BE_LONG_BYTES else None
    except (MediaError, OSError):
        return None
