"""ONNX models that get their weights when they are loaded.

A model is a message of protocol buffers, and such messages, one written behind the other, are one message whose lists
are joined. So weights are put behind a model that has none, without ONNX's own package.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

# Numbers of fields in onnx.proto.
_MODEL_GRAPH, _GRAPH_INITIALIZER = 7, 5
_TENSOR_DIMS, _TENSOR_TYPE, _TENSOR_NAME, _TENSOR_BYTES = 1, 2, 8, 9
_FLOAT = 1
_WHOLE_NUMBER, _BYTES = 0, 2  # how a field is written


def with_weights(model: bytes, weights: Mapping[str, NDArray[np.float32]]) -> bytes:
    """A model with tensors as its initializers, by their names."""
    tensors = b"".join(_field(_GRAPH_INITIALIZER, _tensor(name, array)) for name, array in weights.items())
    return model + _field(_MODEL_GRAPH, tensors)


def _tensor(name: str, array: NDArray[np.float32]) -> bytes:
    sizes = b"".join(_varint(_TENSOR_DIMS << 3 | _WHOLE_NUMBER) + _varint(size) for size in array.shape)
    kind = _varint(_TENSOR_TYPE << 3 | _WHOLE_NUMBER) + _varint(_FLOAT)
    numbers = np.ascontiguousarray(array, "<f4").tobytes()
    return sizes + kind + _field(_TENSOR_NAME, name.encode()) + _field(_TENSOR_BYTES, numbers)


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | _BYTES) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; all but the last have their top bit set."""
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*written, value])
