"""What tests of shards share: what is in them, and records that nobody decodes."""

from __future__ import annotations

import tarfile
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.data.shards import ClipRecord


def contents(shards: Path) -> dict[str, dict[str, bytes]]:
    """Members of all shards, by shard."""
    out = {}
    for path in sorted(shards.glob("*.tar")):
        with tarfile.open(path) as shard:
            out[path.name] = {member.name: shard.extractfile(member).read() for member in shard}  # type: ignore[union-attr]
    return out


def record(name: str, size: int, split: str = "train") -> ClipRecord:
    """A record of about ``size`` bytes that nobody decodes."""
    info = {"split": split, "identity": name, "frames": 1, "frames_without_face": 0, "seconds": 0.04}
    return ClipRecord(name, bytes(size), b"priors", info)


def first_picture(clip: ClipRecord, folder: Path) -> NDArray[np.uint8]:
    """Decode the first picture of a clip."""
    path = folder / "shown.mp4"
    path.write_bytes(clip.video)
    video = cv2.VideoCapture(str(path))
    ok, pixels = video.read()
    video.release()
    assert ok
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)
