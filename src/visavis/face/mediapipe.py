"""MediaPipe as it is imported here: without the plotting library that its solutions import and nobody asks for."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

_PLOTS = ("matplotlib", "matplotlib.pyplot")


class _Later(ModuleType):
    """Stands for a module until something of it is asked for."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        _leave()
        return getattr(importlib.import_module(self.__name__), name)


def _leave() -> None:
    for name in _PLOTS:
        if isinstance(sys.modules.get(name), _Later):
            del sys.modules[name]


@contextmanager
def without_plots() -> Iterator[None]:
    """Import MediaPipe in here: matplotlib, a second's work, is then imported only if something is plotted.

    Whoever asks for matplotlib meanwhile gets it.
    """
    if any(name in sys.modules for name in _PLOTS):
        yield
        return
    package, plots = (_Later(name) for name in _PLOTS)
    package.__path__ = []
    package.pyplot = plots  # type: ignore[attr-defined]
    sys.modules.update(zip(_PLOTS, (package, plots), strict=True))
    try:
        yield
    finally:
        _leave()
