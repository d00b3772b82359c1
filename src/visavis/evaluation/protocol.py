"""Which clips are measured, and which person each of them animates."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from visavis.core.errors import DataError

CLIPS = "clips"
MANIFEST = "manifest.csv"


class Protocol(str, Enum):
    """``same``: a clip's first frame is animated by the rest of the clip. ``cross``: every clip drives the first frame
    of the next identity's clip, in manifest order, so that there is no ground truth."""

    SAME = "same"
    CROSS = "cross"


@dataclass(frozen=True)
class ClipEntry:
    """One clip of a data set.

    Attributes:
        name: its id.
        identity: whose face.
        path: the video.
        speech: whether its sound, if any, is the visible person's own speech.
    """

    name: str
    identity: str
    path: Path
    speech: bool = True


@dataclass(frozen=True)
class Pair:
    """A driving clip and the clip whose first frame is the source; in ``same`` the two are one."""

    driving: ClipEntry
    source: ClipEntry


def find_clips(dataset: Path, split: str) -> list[ClipEntry]:
    """Clips of a split, in manifest order.

    Raises:
        DataError: no manifest, a manifest without the columns id, identity and split, or no clip of that split.
    """
    manifest = dataset / MANIFEST
    if not manifest.is_file():
        raise DataError(f"{dataset}: no manifest.csv here; evaluation needs clips/*.mp4 and manifest.csv")
    with manifest.open(newline="", encoding="utf-8") as lines:
        try:
            found = [_entry(dataset, row) for row in csv.DictReader(lines) if row["split"] == split]
        except (KeyError, csv.Error, UnicodeDecodeError) as error:
            raise DataError(f"{manifest}: cannot be read; it needs the columns id, identity, split") from error
    if not found:
        raise DataError(f"{manifest}: no clip of split '{split}'")
    return found


def _entry(dataset: Path, row: dict[str, str]) -> ClipEntry:
    name = row["id"] or ""
    if not name or {"/", "\\", "\0"} & set(name):
        raise DataError(f"{dataset}: '{name[:80]}' is no id for the manifest; it is the name of a file in clips/")
    return ClipEntry(
        name=row["id"],
        identity=row["identity"],
        path=dataset / CLIPS / f"{row['id']}.mp4",
        # A manifest without the column says nothing against its sound.
        speech=row.get("av_sync", "likely") == "likely",
    )


def pair(clips: Sequence[ClipEntry], protocol: Protocol) -> list[Pair]:
    """Pair each clip with its source; the last identity's clips animate the first identity.

    Raises:
        DataError: the cross protocol with one identity alone.
    """
    if protocol is Protocol.SAME:
        return [Pair(clip, clip) for clip in clips]
    pairs = []
    for number, clip in enumerate(clips):
        later = [*clips[number + 1 :], *clips[:number]]
        other = next((entry for entry in later if entry.identity != clip.identity), None)
        if other is None:
            raise DataError("the cross protocol needs clips of two identities at least")
        pairs.append(Pair(clip, other))
    return pairs
