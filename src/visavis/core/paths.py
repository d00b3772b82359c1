"""Folders outside the package."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Where downloaded or converted files may be kept: ``$XDG_CACHE_HOME/visavis`` or ``~/.cache/visavis``.

    A user without a home, as in containers and services, has none: the folder is then one that is not there. (A folder
    for temporary files would not do: whoever is first may put anything into it.)
    """
    base = os.environ.get("XDG_CACHE_HOME")
    if base:
        return Path(base) / "visavis"
    home = os.path.expanduser("~")  # unlike Path.home, no error for a user whom the system does not know
    return Path(home if os.path.isabs(home) else "/nonexistent", ".cache", "visavis")
