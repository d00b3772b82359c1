"""Arrays of an ``.npz`` of unknown origin: kind and shape are checked before a byte of the numbers is unpacked."""

from __future__ import annotations

import io
import threading
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from visavis.core.errors import DataError

_READERS: dict[tuple[int, int], Callable[..., tuple[tuple[int, ...], bool, np.dtype[Any]]]] = {
    (1, 0): npy.read_array_header_1_0,
    (2, 0): npy.read_array_header_2_0,
}
# A header is a Python literal, and Python 3.11 counts how deep it is in one place for all threads that read one.
_HEADER = threading.Lock()
_PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_MOST_DIMENSIONS = 4


class Arrays:
    """The arrays of one archive.

    Args:
        data: the archive.

    Raises:
        DataError: it is damaged.
    """

    def __init__(self, data: bytes) -> None:
        try:
            self._archive = zipfile.ZipFile(io.BytesIO(data))
        except (zipfile.BadZipFile, ValueError, OSError, RecursionError, NotImplementedError) as error:
            raise DataError(f"damaged priors ({error})") from error

    def get(self, name: str, dtype: type[np.generic], fits: Callable[[tuple[int, ...]], bool]) -> NDArray[Any]:
        """Read one array.

        Args:
            name: of the array.
            dtype: that it must have.
            fits: whether a shape is allowed; it bounds what is unpacked.

        Raises:
            DataError: there is no such array, it is damaged, or of another kind or shape.
        """
        try:
            entry = self._archive.getinfo(f"{name}.npy")
            if entry.compress_type not in _PACKED:
                raise DataError(f"damaged priors ('{name}' is packed in an unknown way)")
            with self._archive.open(entry) as file:
                version = npy.read_magic(file)  # type: ignore[no-untyped-call]
                if version not in _READERS:
                    raise DataError(f"damaged priors ('{name}' has a header of an unknown version)")
                with _HEADER:
                    shape, by_columns, found = _READERS[version](file)
                plain = all(type(length) is int and length >= 0 for length in shape) and len(shape) <= _MOST_DIMENSIONS
                if found != np.dtype(dtype) or not plain or not fits(shape):
                    raise DataError(f"priors of the wrong kind ('{name}' is {found} {str(shape)[:60]})")
                count = int(np.prod(shape, dtype=np.int64))
                numbers = file.read(count * found.itemsize)
        except DataError:
            raise
        except Exception as error:  # hostile archives and headers make their readers raise anything
            raise DataError(f"damaged priors ('{name}': {type(error).__name__}: {str(error)[:100]})") from error
        if len(numbers) < count * found.itemsize:
            raise DataError(f"damaged priors ('{name}' is cut short)")
        return np.frombuffer(numbers, found).reshape(shape, order="F" if by_columns else "C")
