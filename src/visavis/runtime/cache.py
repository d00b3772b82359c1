"""Compiled graphs on the disk, in the user's own folder for such things.

Many processes may use it at once: entries are written aside and renamed, and a process that has read one does not need
the file any more. Whatever is wrong with an entry, or with the folder, it is as if there were none.
"""

from __future__ import annotations

import hashlib
import json
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
_MAGIC = b"visavis graph 1\n"
_SUFFIX = ".graph"
_DIGEST_BYTES = 32
_PATIENCE_S = 120.0


@dataclass(frozen=True)
class Entry:
    """A compiled graph.

    Attributes:
        result: how the graph's result is built, as :func:`visavis.nn.graph.structure_of` says.
        made: what the engine wrote.
    """

    result: Any
    made: bytes


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
            kept = path.read_bytes()
            digest, content = kept[len(_MAGIC) :][:_DIGEST_BYTES], kept[len(_MAGIC) + _DIGEST_BYTES :]
            if not kept.startswith(_MAGIC) or hashlib.sha256(content).digest() != digest:
                return None
            result, _, made = content.partition(b"\n")
            entry = Entry(json.loads(result), made)
        except (OSError, ValueError):
            return None
        with suppress(OSError):
            os.utime(path)
        return entry

    def put(self, key: str, entry: Entry) -> None:
        """Keep an entry, if that can be; older ones make room."""
        content = json.dumps(entry.result).encode() + b"\n" + entry.made
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
