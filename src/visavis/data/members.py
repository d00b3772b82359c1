"""The members of a tar file of unknown origin, one after the other, with nothing of it trusted.

Only what shards are made of is read: uncompressed archives of plain files, with the long names of POSIX (pax) and GNU.
Links and devices are refused, sizes are checked before anything is read, and a header that does not add up is an error
and not the end of the archive.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from visavis.core.errors import DataError

_BLOCK = 512
_MOST_EXTENDED_BYTES = 64 << 10  # of the headers that hold long names
_MAGIC = slice(257, 262)
_PLAIN, _FOLDER, _PAX, _PAX_FOR_ALL, _LONG_NAME = (b"0", b"\0"), b"5", b"x", b"g", b"L"


def members(path: Path, most_bytes: Callable[[str], int]) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of every plain file in an archive.

    Args:
        path: the archive.
        most_bytes: how large a member of that name may be.

    Raises:
        DataError: it is compressed, no tar file, damaged, or holds what shards do not.
        OSError: it cannot be read.
    """
    if not path.is_file():  # reading from a pipe would wait for ever
        raise DataError(f"{path}: is not a file")
    with path.open("rb") as file:
        name = ""
        while any(header := file.read(_BLOCK)):
            size = _checked_size(path, header)
            kind = header[156:157]
            if kind in (_PAX, _LONG_NAME):
                data = _read(path, file, size, _MOST_EXTENDED_BYTES, "a long name")
                name = (_pax_path(path, data) or name) if kind == _PAX else _text(data)
                continue
            if kind == _PAX_FOR_ALL:
                _read(path, file, size, _MOST_EXTENDED_BYTES, "a header")
                continue
            name = name or _plain_name(header)
            if kind in _PLAIN:
                yield name, _read(path, file, size, most_bytes(name), f"'{name}'")
            elif kind != _FOLDER:
                raise DataError(f"{path}: '{name}' is a link or a device; shards hold plain files alone")
            name = ""
        if len(header) < _BLOCK:
            raise DataError(f"{path}: damaged shard (cut short: it ends without the block that ends a tar file)")


def _checked_size(path: Path, header: bytes) -> int:
    """Size that a header states, if its check sum is right."""
    if len(header) < _BLOCK or header[_MAGIC] != b"ustar":
        raise DataError(f"{path}: damaged shard, or not an uncompressed tar file")
    stated, size = _number(header[148:156]), _number(header[124:136])
    if stated != sum(header[:148]) + 8 * ord(" ") + sum(header[156:]) or size is None:
        raise DataError(f"{path}: damaged shard (a header does not add up)")
    return size


def _number(field: bytes) -> int | None:
    """An octal number; None for all else, among that the binary numbers of files beyond 8 GB."""
    digits = field.strip(b" \0")
    return int(digits, 8) if re.fullmatch(rb"[0-7]+", digits) else None


def _read(path: Path, file: BinaryIO, size: int, most: int, what: str) -> bytes:
    if size > most:
        raise DataError(f"{path}: {what} has {size:,} bytes, and at most {most:,} are read")
    data = file.read(size)
    file.read(-size % _BLOCK)
    if len(data) < size:
        raise DataError(f"{path}: damaged shard (cut short in {what})")
    return data


def _plain_name(header: bytes) -> str:
    name, prefix = _text(header[:100]), _text(header[345:500])
    return f"{prefix}/{name}" if prefix else name


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", errors="replace")


def _pax_path(path: Path, data: bytes) -> str | None:
    """The ``path`` of records ``LENGTH KEY=VALUE``; a size is refused, since it moves all that follows."""
    found = None
    while data:
        digits, _, rest = data.partition(b" ")
        length = int(digits) if re.fullmatch(rb"[0-9]{1,6}", digits) else 0
        key, _, value = data[len(digits) + 1 : max(length - 1, 0)].partition(b"=")
        if not len(digits) + 3 <= length <= len(data) or not rest:
            raise DataError(f"{path}: damaged shard (a long name does not add up)")
        if key == b"size" or key.startswith(b"GNU.sparse"):
            raise DataError(f"{path}: holds a file beyond 8 GB or with holes, which shards never are")
        if key == b"path":
            found = _text(value)
        data = data[length:]
    return found
