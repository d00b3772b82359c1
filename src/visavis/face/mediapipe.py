"""MediaPipe as it is imported here: its graphs, and not all that its packages import beside them."""

from __future__ import annotations

import sys
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any

#: Packages of it that import all their neighbours: sound devices, an HTTP client,
#: every solution and, to draw, matplotlib.
_CROWDED = ("mediapipe", "mediapipe.python", "mediapipe.python.solutions")


class _Later(ModuleType):
    """A package that runs its own code when something is asked of it that none of its modules is."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name != "__all__":
            raise AttributeError(f"module {self.__name__} has no attribute {name}")
        self.__class__ = ModuleType  # type: ignore[assignment]  # before its code, which asks for more
        spec = self.__spec__
        assert spec is not None and spec.loader is not None
        spec.loader.exec_module(self)
        return getattr(self, name)


def import_later() -> None:
    """Have modules of MediaPipe come alone when they are imported, in a third of the time.

    Its packages are what they were for whoever imports them: their code runs when it is needed.
    """
    for name in _CROWDED:
        if name not in sys.modules and (spec := find_spec(name)) is not None:
            package = module_from_spec(spec)
            package.__class__ = _Later
            sys.modules[name] = package
            above, _, own = name.rpartition(".")
            if above:
                setattr(sys.modules[above], own, package)
