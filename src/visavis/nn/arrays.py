"""Arrays of whoever computes: torch's tensors, or NumPy's where torch is not asked.

What runs on both ends, where torch trains and where a receiver has none, is written once, in the words that NumPy and
torch share, and takes the library of its arrays from :func:`library_of`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor as Tensor
else:
    #: What parts of a network hand on: torch's tensors where torch computes, else arrays, which have the same members
    #: as far as they are used. (Torch is not imported for a name.)
    Tensor = object


def library_of(array: Any) -> Any:
    """NumPy or torch, whichever an array is of."""
    return np if isinstance(array, np.ndarray) else sys.modules["torch"]


def array_like(values: Any, like: Any) -> Any:
    """Numbers as an array of the library, kind and device of another one."""
    return np.asarray(values, like.dtype) if isinstance(like, np.ndarray) else like.new_tensor(values)


def clipped(array: Any, low: float, high: float | None = None) -> Any:
    """Numbers between two bounds; torch's by ``clamp``, which ONNX has."""
    return array.clip(low, high) if isinstance(array, np.ndarray) else array.clamp(low, high)


def joined(arrays: Sequence[Any], axis: int) -> Any:
    """Arrays one after the other along an axis; torch's by ``cat``, which ONNX has."""
    library = library_of(arrays[0])
    return library.concatenate(arrays, axis) if library is np else library.cat(arrays, axis)


def exact(array: Any) -> AbstractContextManager[object]:
    """No reduced precision in here, for arrays like this one."""
    if isinstance(array, np.ndarray):
        return nullcontext()
    disabled: AbstractContextManager[object] = library_of(array).autocast(array.device.type, enabled=False)
    return disabled


def on_host(array: Any) -> NDArray[np.float32]:
    """The numbers of an array of either library, in float32."""
    if isinstance(array, np.ndarray):
        return array.astype(np.float32, copy=False)
    return np.asarray(array.detach().float().cpu().numpy())


def mapped(value: Any, change: Callable[[Any], Any]) -> Any:
    """A value that is built as another one of tuples, lists and dataclasses, its arrays changed."""
    if value is None:
        return None
    if isinstance(value, (tuple, list)):
        return tuple(mapped(part, change) for part in value)
    if is_dataclass(value) and not isinstance(value, type):
        return type(value)(*(mapped(getattr(value, field.name), change) for field in fields(value)))
    return change(value)
