"""Shards: tar files of clips that train without MediaPipe or PyAV.

Each clip is three members, named as WebDataset wants them:

- ``<id>.mp4``: pictures, H.264, square, 25 fps;
- ``<id>.npz``: coded priors, one row a frame (see :class:`Priors`);
- ``<id>.json``: identity, split, seconds, whether the sound is the speaker's own.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.core.errors import DataError

_MESH_STEP = 1 / 1024  # 1/8 of a pixel at 256x256
_SEGMENTATION_SIDE = 64
_SEGMENTATION_LEVELS = 15
_MEL_LEVELS = 255


@dataclass(frozen=True)
class Priors:
    """The priors of a clip of T frames.

    Attributes:
        seen: ``bool [T]``, whether the face was found.
        mesh: ``float32 [T, 478, 3]`` in [-1, 1]; a frame without a face repeats the one before.
        segmentation: ``uint8 [T, 64, 64]``, 255 is person.
        mel: ``float32 [80, 4 T + 16]`` in [0, 1]; the window of frame k is ``[:, 4 k : 4 k + 20]``. None without sound.
    """

    seen: NDArray[np.bool_]
    mesh: NDArray[np.float32]
    segmentation: NDArray[np.uint8]
    mel: NDArray[np.float32] | None

    def encode(self) -> bytes:
        """Return the priors quantised (mesh to 1/8 pixel at 256x256), as time differences, compressed."""
        mesh = np.rint(self.mesh / _MESH_STEP).astype(np.int16)
        masks = np.rint(self.segmentation / 255 * _SEGMENTATION_LEVELS).astype(np.uint8)
        mel = np.zeros((0, 0), np.uint8) if self.mel is None else np.rint(self.mel * _MEL_LEVELS).astype(np.uint8)
        out = io.BytesIO()
        np.savez_compressed(
            out,
            seen=self.seen,
            mesh=np.diff(mesh, axis=0, prepend=np.zeros_like(mesh[:1])),
            segmentation=np.diff(masks, axis=0, prepend=np.zeros_like(masks[:1])),
            mel=mel,
        )
        return out.getvalue()

    @classmethod
    def decode(cls, data: bytes) -> Priors:
        """The inverse of :meth:`encode`."""
        with np.load(io.BytesIO(data), allow_pickle=False) as values:
            mesh = np.cumsum(values["mesh"], axis=0, dtype=np.int16).astype(np.float32) * _MESH_STEP
            masks = np.cumsum(values["segmentation"], axis=0, dtype=np.uint8)
            mel = values["mel"].astype(np.float32) / _MEL_LEVELS
            return cls(
                seen=values["seen"],
                mesh=mesh.astype(np.float32),
                segmentation=np.rint(masks.astype(np.float32) * (255 / _SEGMENTATION_LEVELS)).astype(np.uint8),
                mel=mel if mel.size else None,
            )


def code_mask(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Shrink a segmentation ``uint8 [S, S]`` to the size that shards hold."""
    side = (_SEGMENTATION_SIDE, _SEGMENTATION_SIDE)
    return np.asarray(cv2.resize(mask, side, interpolation=cv2.INTER_AREA), np.uint8)


@dataclass(frozen=True)
class ClipRecord:
    """One clip as it lies in a shard."""

    name: str
    video: bytes
    priors: bytes
    info: dict[str, Any]


def append(shard: tarfile.TarFile, record: ClipRecord) -> None:
    """Add one clip's members to an open shard."""
    info = json.dumps(record.info, sort_keys=True).encode()
    for suffix, data in (("mp4", record.video), ("npz", record.priors), ("json", info)):
        member = tarfile.TarInfo(f"{record.name}.{suffix}")
        member.size = len(data)
        shard.addfile(member, io.BytesIO(data))


def read(folder: Path) -> Iterator[ClipRecord]:
    """Yield every clip of the shards ``*.tar`` in ``folder``, in name order."""
    shards = sorted(folder.glob("*.tar")) if folder.is_dir() else []
    if not shards:
        raise DataError(f"{folder}: no shards (*.tar) here; make them with `visavis prepare DATASET -o {folder}`")
    for path in shards:
        try:
            yield from _read_one(path)
        except (tarfile.TarError, json.JSONDecodeError, EOFError) as error:
            raise DataError(f"{path}: damaged shard ({error})") from error


def _read_one(path: Path) -> Iterator[ClipRecord]:
    parts: dict[str, bytes] = {}
    with tarfile.open(path) as shard:
        for member in shard:
            name, _, suffix = member.name.partition(".")
            stream = shard.extractfile(member)
            if stream is None:
                continue
            parts[suffix] = stream.read()
            if {"mp4", "npz", "json"} <= parts.keys():
                yield ClipRecord(name, parts["mp4"], parts["npz"], json.loads(parts["json"]))
                parts = {}
