"""The file form of a call, ``.vsv``: a mark, then each packet after its length. A cut file reads up to the cut."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from visavis.codec.bitstream import MOST_PACKET_BYTES
from visavis.codec.fields import write_varint
from visavis.core.errors import CodecError, MediaError
from visavis.media.output import Place, disk_errors
from visavis.media.spool import readable_twice

MARK = b"VSV1"
_HIGH, _LOW = 0x80, 0x7F


def is_call(path: Path) -> bool:
    """Whether a file begins as a call does."""
    try:
        with readable_twice(path).open("rb") as file:
            return file.read(len(MARK)) == MARK
    except (OSError, MediaError):
        return False


def record(packet: bytes) -> bytes:
    """A packet as it lies in a file."""
    return write_varint(len(packet)) + packet


class CallWriter:
    """Writes packets aside; the file gets its name when the ``with`` block ends without an exception.

    Args:
        path: the file.
        replace: whether a file that has its name by then is replaced; see :class:`visavis.media.output.Place`.

    Raises:
        OutputError: it cannot be written, or not under this name.
    """

    def __init__(self, path: Path, *, replace: bool = True) -> None:
        self.path, self._place = path, Place(path, replace=replace)
        with disk_errors(path):
            self._file = self._place.aside.open("wb")
            self._file.write(MARK)

    def write(self, packet: bytes) -> None:
        """Append a packet."""
        with disk_errors(self.path):
            self._file.write(record(packet))

    def __enter__(self) -> CallWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            with disk_errors(self.path):
                self._file.close()
        except BaseException:
            self._place.abandon()
            raise
        if error is None:
            self._place.settle()
        else:
            self._place.abandon()


class CallReader:
    """Iterates over a file's packets, holding one at a time.

    Args:
        path: the file.

    Attributes:
        cut: after iterating, whether the file ended inside a packet.

    Raises:
        CodecError: the file is not a call, cannot be read, or holds a packet of impossible length.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.cut = Path(path), False

    def __iter__(self) -> Iterator[bytes]:
        try:
            with readable_twice(self.path).open("rb") as file:
                if file.read(len(MARK)) != MARK:
                    raise CodecError(f"{self.path}: is not a call (.vsv)")
                yield from self._packets(file)
        except MediaError as error:
            raise CodecError(str(error)) from error
        except OSError as error:
            raise CodecError(f"{self.path}: cannot be read ({error.strerror})") from error

    def _packets(self, file: BinaryIO) -> Iterator[bytes]:
        while (length := self._length(file)) is not None:
            packet = file.read(length)
            if len(packet) < length:
                self.cut = True
                return
            yield packet

    def _length(self, file: BinaryIO) -> int | None:
        first = file.read(1)
        if not first:
            return None
        length = first[0]
        if length & _HIGH:
            second = file.read(1)
            if not second:
                self.cut = True
                return None
            length = (length & _LOW) | second[0] << 7
        if not 1 <= length <= MOST_PACKET_BYTES:
            raise CodecError(f"{self.path}: is damaged; a packet of {length} bytes where at most 1,100 are allowed")
        return length
