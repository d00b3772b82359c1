"""Compiled graphs on the disk, in the user's own folder for such things.

Many processes may use it at once: entries are written aside and renamed, and a process that has one keeps it when its
name goes. Entries are mapped, not read, so that what an engine has made its own of needs no memory a second time.
Whatever is wrong with an entry, or with the folder, it is as if there were none.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from visavis.core.aside import written_aside
from visavis.core.errors import OutputError
from visavis.core.lock import Lock
from visavis.core.paths import cache_folder

#: What all entries together may take; those that were not used for longest go first.
MOST_BYTES = 256 << 20
_MAGIC = b"visavis graph 2\n"
_SUFFIX = ".graph"
_DIGEST_BYTES = 32
_ALIGNED = 64  # where what the engine wrote begins in the file, as vectors of numbers like it
_PATIENCE_S = 120.0


@dataclass(frozen=True)
class Entry:
    """A compiled graph.

    Attributes:
        result: how the graph's result is built, as :func:`visavis.nn.graph.structure_of` says.
        made: what the engine wrote; of an entry that was kept, a view of its file.
    """

    result: Any
    made: bytes | memoryview


class GraphCache:
    """Entries by key.

    Args:
        folder: where; made when something is first kept.
        most_bytes: of all entries.
    """

    def __init__(self, folder: Path | None = None, most_bytes: int = MOST_BYTES) -> None:
        self.folder = folder or cache_folder() / "graphs"
        self._most = most_bytes

    def get(self, key: str) -> Entry | None:
        """The entry, or None where there is none that is whole."""
        path = self._path(key)
        try:
            with path.open("rb") as file:
                kept = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
            begin = len(_MAGIC) + _DIGEST_BYTES
            view = memoryview(kept)
            if kept[:begin] != _MAGIC + hashlib.sha256(view[begin:]).digest():
                return None
            end = kept.find(b"\n", begin)
            entry = Entry(json.loads(kept[begin:end]), view[end + 1 :])
        except (OSError, ValueError):
            return None
        with suppress(OSError):
            os.utime(path)
        return entry

    def put(self, key: str, entry: Entry) -> None:
        """Keep an entry, if that can be; older ones make room."""
        result = json.dumps(entry.result).encode()
        result += b" " * (-(len(_MAGIC) + _DIGEST_BYTES + len(result) + 1) % _ALIGNED)
        content = result + b"\n" + entry.made
        with suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            with written_aside(self._path(key)) as aside:
                aside.write_bytes(_MAGIC + hashlib.sha256(content).digest() + content)
            self._make_room(self._path(key))

    def drop(self, key: str) -> None:
        """Forget an entry that an engine cannot read."""
        with suppress(OSError):
            self._path(key).unlink(missing_ok=True)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """One process at a time in here, so that two do not compile the same; whoever waits too long goes on."""
        lock = None
        with suppress(OSError, OutputError):
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = Lock(self.folder, patience_s=_PATIENCE_S)
        try:
            yield
        finally:
            if lock is not None:
                lock.close()

    def size_bytes(self) -> int:
        """Of all entries together."""
        return sum(size for _, size, _ in self._entries())

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}{_SUFFIX}"

    def _entries(self) -> list[tuple[float, int, Path]]:
        found = []
        with suppress(OSError):
            for path in self.folder.glob(f"*{_SUFFIX}"):
                with suppress(OSError):
                    about = path.stat()
                    found.append((about.st_mtime, about.st_size, path))
        return sorted(found)

    def _make_room(self, newest: Path) -> None:
        entries = self._entries()
        total = sum(size for _, size, _ in entries)
        for _, size, path in entries:
            if total <= self._most:
                return
            if path != newest:
                with suppress(OSError):
                    path.unlink(missing_ok=True)
                total -= size


def forget(made: bytes | memoryview) -> None:
    """Give back the memory that a mapped entry takes until it is looked at again; nothing for bytes."""
    kept = made.obj if isinstance(made, memoryview) else None
    if isinstance(kept, mmap.mmap) and hasattr(kept, "madvise"):
        kept.madvise(mmap.MADV_DONTNEED)
