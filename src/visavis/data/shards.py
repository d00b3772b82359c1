"""Shards: tar files of clips that train without MediaPipe or PyAV.

Each clip is three or four members, named as WebDataset wants them:

- ``<id>.mp4``: pictures, H.264, square, 25 fps;
- ``<id>.npz``: coded priors, one row a frame (see :class:`Priors`);
- ``<id>.flac``: the sound, if there is any, 16 kHz, one channel, 16 bits, as long as the pictures;
- ``<id>.json``: identity, split, seconds, whether the sound is the speaker's own, quality flags, and whether to
  ``keep`` the clip in training. Readers give every field that came later a default, so that older shards go on loading.
"""

from __future__ import annotations

import io
import json
import os
import re
import tarfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.audio.mel import MEL_BANDS, MEL_FRAMES, RATE_HZ
from visavis.core.errors import DataError
from visavis.core.strict_json import loads
from visavis.data.arrays import Arrays
from visavis.data.flac import decode
from visavis.data.members import members
from visavis.data.sound import SAMPLES_A_FRAME
from visavis.face.types import MESH_POINTS

_MESH_STEP = 1 / 1024  # 1/8 of a pixel at 256x256
_SEGMENTATION_SIDE = 64
_SEGMENTATION_LEVELS = 15
_MEL_LEVELS = 255
_MEL_STEPS_A_FRAME = 4
#: Of a clip; what is prepared here ends after half as many.
MOST_FRAMES = 7500
_MOST_BYTES = {"mp4": 256 << 20, "npz": 128 << 20, "flac": 10 << 20, "json": 1 << 20}
_MOST_OTHER_BYTES = 1 << 20
_NEEDED, _KNOWN = {"mp4", "npz", "json"}, {"mp4", "npz", "flac", "json"}
_NAME = re.compile(r"[A-Za-z0-9_-]{1,200}")
#: Readers live with what is missing, and refuse what is something else than it says.
_KINDS: dict[str, tuple[type, ...]] = {
    "identity": (str,),
    "split": (str,),
    "frames": (int,),
    "frames_without_face": (int,),
    "seconds": (int, float),
    "keep": (bool,),
    "sound_is_speech": (bool, type(None)),
    "quality": (dict, type(None)),
}


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
        """The inverse of :meth:`encode`; raises :class:`DataError` when ``data`` is damaged or of other shapes."""
        arrays = Arrays(data)
        seen = arrays.get("seen", np.bool_, lambda shape: len(shape) == 1 and 1 <= shape[0] <= MOST_FRAMES)
        count, side = len(seen), _SEGMENTATION_SIDE
        mesh = arrays.get("mesh", np.int16, lambda shape: shape == (count, MESH_POINTS, 3))
        masks = arrays.get("segmentation", np.uint8, lambda shape: shape == (count, side, side))
        steps = _MEL_STEPS_A_FRAME * (count - 1) + MEL_FRAMES
        mel = arrays.get("mel", np.uint8, lambda shape: shape in ((0, 0), (MEL_BANDS, steps)))
        points = np.cumsum(mesh, axis=0, dtype=np.int16).astype(np.float32) * np.float32(_MESH_STEP)
        masks = np.cumsum(masks, axis=0, dtype=np.uint8)
        return cls(
            seen=seen,
            mesh=points,
            segmentation=np.rint(masks.astype(np.float32) * (255 / _SEGMENTATION_LEVELS)).astype(np.uint8),
            mel=mel.astype(np.float32) / _MEL_LEVELS if mel.size else None,
        )


def code_mask(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Shrink a segmentation ``uint8 [S, S]`` to the size that shards hold."""
    side = (_SEGMENTATION_SIDE, _SEGMENTATION_SIDE)
    return np.asarray(cv2.resize(mask, side, interpolation=cv2.INTER_AREA), np.uint8)


@dataclass(frozen=True)
class ClipRecord:
    """One clip as it lies in a shard; ``flac`` is None where it has no sound, or the shard is older than sounds."""

    name: str
    video: bytes
    priors: bytes
    info: dict[str, Any]
    flac: bytes | None = None

    def decoded(self) -> Priors:
        """The priors; raises :class:`DataError` that names the clip."""
        try:
            return Priors.decode(self.priors)
        except DataError as error:
            raise DataError(f"clip {self.name}: {error}") from error

    def sound(self) -> NDArray[np.float32] | None:
        """The sound, ``float32 [640 T]`` in [-1, 1] at 16 kHz: frame k of T is shown from sample ``640 k`` on.

        Returns:
            None where the clip has none (:attr:`flac`).

        Raises:
            DataError: it is damaged, or of another length than the clip; names the clip.
        """
        if self.flac is None:
            return None
        try:
            samples = decode(self.flac, RATE_HZ, MOST_FRAMES * SAMPLES_A_FRAME)
        except DataError as error:
            raise DataError(f"clip {self.name}: {error}") from error
        frames = self.info.get("frames", len(samples) // SAMPLES_A_FRAME)
        if len(samples) != frames * SAMPLES_A_FRAME:
            raise DataError(
                f"clip {self.name}: {len(samples)} samples of sound are not the {frames} frames of the clip"
            )
        return samples.astype(np.float32) / np.float32(1 << 15)

    def members(self) -> dict[str, bytes]:
        """What goes into a shard, by the ending of its name."""
        sound = {} if self.flac is None else {"flac": self.flac}
        info = json.dumps(self.info, sort_keys=True).encode()
        return {"mp4": self.video, "npz": self.priors, **sound, "json": info}


def append(shard: tarfile.TarFile, record: ClipRecord) -> None:
    """Add one clip's members to an open shard."""
    for suffix, data in record.members().items():
        member = tarfile.TarInfo(f"{record.name}.{suffix}")
        member.size = len(data)
        shard.addfile(member, io.BytesIO(data))


class ShardWriter:
    """Writes shards ``<split>-00000.tar`` of at most a given size; each has its name only when it is whole.

    Args:
        folder: where they go; numbering goes on after the shards that are there.
        most_bytes: size of a shard; a clip that is larger by itself gets a shard of its own.
        finished: called with the names of a shard's clips when it is whole.
    """

    def __init__(self, folder: Path, most_bytes: int, finished: Callable[[list[str]], None]) -> None:
        self._folder, self._most_bytes, self._finished = folder, most_bytes, finished
        self._open: dict[str, _OpenShard] = {}
        for left in folder.glob(".*.new"):
            left.unlink()

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for split in list(self._open):
            if kind is None:
                self._finish(split)
            else:
                self._open.pop(split).abandon()

    def add(self, record: ClipRecord) -> None:
        """Append a clip to the open shard of its split."""
        split = str(record.info["split"])
        if split in self._open and self._open[split].size_with(record) > self._most_bytes:
            self._finish(split)
        if split not in self._open:
            self._open[split] = _OpenShard(self._folder / f"{split}-{self._next_number(split):05d}.tar")
        self._open[split].add(record)

    def _next_number(self, split: str) -> int:
        numbers = [re.fullmatch(rf"{split}-(\d+)", path.stem) for path in self._folder.glob("*.tar")]
        return max((int(match[1]) for match in numbers if match), default=-1) + 1

    def _finish(self, split: str) -> None:
        shard = self._open.pop(split)
        shard.finish()
        self._finished(shard.names)


class _OpenShard:
    """A shard being written, aside of its name."""

    def __init__(self, path: Path) -> None:
        self.names: list[str] = []
        self._path = path
        self._aside = path.with_name(f".{path.name}.new")
        self._tar = tarfile.open(self._aside, "w")  # noqa: SIM115 - closed by finish or abandon

    def size_with(self, record: ClipRecord) -> int:
        """Bytes of the file if ``record`` were its last clip."""
        end = self._tar.offset + _bytes_in_tar(record) + 2 * tarfile.BLOCKSIZE
        return -(-end // tarfile.RECORDSIZE) * tarfile.RECORDSIZE

    def add(self, record: ClipRecord) -> None:
        append(self._tar, record)
        self.names.append(record.name)

    def finish(self) -> None:
        try:
            self._tar.close()
            with self._aside.open("rb") as file:
                os.fsync(file.fileno())
            self._aside.replace(self._path)
        except OSError:
            self.abandon()
            raise

    def abandon(self) -> None:
        # Closed below the tar file, which would write its end, perhaps onto a full disk.
        if self._tar.fileobj is not None:
            with suppress(OSError):
                self._tar.fileobj.close()
        self._aside.unlink(missing_ok=True)


def _bytes_in_tar(record: ClipRecord) -> int:
    block = tarfile.BLOCKSIZE
    return sum(block + -(-len(data) // block) * block for data in record.members().values())


def read(folder: Path) -> Iterator[ClipRecord]:
    """Yield every clip of the shards ``*.tar`` in ``folder``, in name order.

    Raises:
        DataError: there are none, or one is damaged or holds what no shard does.
    """
    shards = sorted(folder.glob("*.tar")) if folder.is_dir() else []
    if not shards:
        raise DataError(f"{folder}: no shards (*.tar) here; make them with `visavis prepare DATASET -o {folder}`")
    for path in shards:
        yield from read_one(path)


def read_one(path: Path) -> Iterator[ClipRecord]:
    """Yield every clip of one shard; errors as for :func:`read`."""
    name, parts = "", dict[str, bytes]()
    try:
        for member, data in members(path, _most_bytes):
            of, _, suffix = member.partition(".")
            if of != name or suffix in parts:
                yield from _whole(path, name, parts)
                name, parts = of, {}
            if suffix in _KNOWN:
                parts[suffix] = data
        yield from _whole(path, name, parts)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error


def _whole(path: Path, name: str, parts: dict[str, bytes]) -> Iterator[ClipRecord]:
    """The clip of these members, if none is missing that is needed."""
    if parts.keys() >= _NEEDED:
        if not _NAME.fullmatch(name):
            raise DataError(f"{path}: '{name}' is no name for a clip; letters, digits, _ and - are allowed")
        yield ClipRecord(name, parts["mp4"], parts["npz"], _info(path, name, parts["json"]), parts.get("flac"))


def _most_bytes(member: str) -> int:
    return _MOST_BYTES.get(member.partition(".")[2], _MOST_OTHER_BYTES)


def _info(path: Path, name: str, data: bytes) -> dict[str, Any]:
    try:
        info = loads(data)
    except ValueError as error:
        raise DataError(f"{path}: damaged shard ('{name}.json': {error})") from error
    if not (isinstance(info, dict) and {"identity", "split"} <= info.keys()):
        raise DataError(f"{path}: '{name}' names no identity and split; make shards with `visavis prepare`")
    for key, kinds in _KINDS.items():
        if key in info and not isinstance(info[key], kinds):
            raise DataError(f"{path}: '{name}' has {key} = {str(info[key])[:60]}, which is of the wrong type")
    return info
