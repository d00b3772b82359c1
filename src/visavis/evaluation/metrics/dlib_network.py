"""dlib, which may not be installed, and the files of its networks, which may be something else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from visavis.core.errors import WeightsError


def dlib_module() -> Any:
    """The module.

    Raises:
        WeightsError: it is not installed.
    """
    try:
        import dlib
    except ImportError as error:
        raise WeightsError("needs dlib: pip install 'visavis[metrics]'") from error
    return dlib


def load_dlib(kind: str, path: Path, what: str) -> Any:
    """Load a file as what dlib calls ``kind``.

    Args:
        kind: class in dlib's module.
        path: the file.
        what: it ought to be, in words.

    Raises:
        WeightsError: dlib is not installed, or the file is damaged.
    """
    try:
        return getattr(dlib_module(), kind)(str(path))
    except RuntimeError as error:
        raise WeightsError(f"{path}: is not {what}, or is damaged") from error
