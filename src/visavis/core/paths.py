"""Folders outside the package."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Where downloaded or converted files may be kept: ``$XDG_CACHE_HOME/visavis`` or ``~/.cache/visavis``."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "visavis"
