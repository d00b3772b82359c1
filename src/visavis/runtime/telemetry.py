"""OpenVINO without its telemetry: who computes faces here is nobody else's business."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

_NAME = "openvino_telemetry"


@contextmanager
def no_telemetry() -> Iterator[None]:
    """OpenVINO that is imported in here takes its own stub in place of the package that counts its uses.

    That package would also look for the user's home, which a service need not have.
    """
    if _NAME in sys.modules:
        yield
        return
    sys.modules[_NAME] = None  # type: ignore[assignment]  # Python's way to say that there is no such module
    try:
        yield
    finally:
        del sys.modules[_NAME]
