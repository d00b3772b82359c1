"""Packages that import far more than is asked of them, and how their modules are had alone."""

from __future__ import annotations

import sys
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any


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


def import_later(*names: str) -> None:
    """Have modules of packages come alone when they are imported: the packages' own code runs when it is needed.

    For whoever imports the packages they are what they were. Those that were imported already stay as they are.

    Args:
        names: of packages, an outer one before those in it.
    """
    for name in names:
        if name not in sys.modules and (spec := find_spec(name)) is not None:
            package = module_from_spec(spec)
            package.__class__ = _Later
            sys.modules[name] = package
            above, _, own = name.rpartition(".")
            if above:
                setattr(sys.modules[above], own, package)
