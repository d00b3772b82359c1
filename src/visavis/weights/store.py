"""Where weights are found: a path, a folder of one's own, the package, or the cache, in that order."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from visavis.core.errors import WeightsError
from visavis.core.paths import cache_folder

PACKAGED = Path(__file__).parent / "packaged"
FOLDER_VARIABLE = "VISAVIS_WEIGHTS"
DEFAULT_MODEL = "avfr-256"


@dataclass(frozen=True)
class Entry:
    """One line of the manifest.

    Attributes:
        name: what users call the weights.
        file: file name in the packaged folder.
        sha256: hash that the file must have.
        family: which generator.
        card: its model card.
    """

    name: str
    file: str
    sha256: str
    family: str
    card: str


def packaged() -> dict[str, Entry]:
    """The manifest of the packaged weights, by name."""
    manifest = PACKAGED / "manifest.json"
    if not manifest.is_file():
        return {}
    rows = json.loads(manifest.read_text(encoding="utf-8"))
    return {name: Entry(name=name, **row) for name, row in rows.items()}


def resolve(name_or_path: str) -> Path:
    """Find weights by path or name.

    Raises:
        WeightsError: nothing of that name, with the names that are known.
    """
    path = Path(name_or_path)
    if path.suffix or path.exists():
        if path.is_dir():
            raise WeightsError(f"{path}: is a folder; weights are a .safetensors file or a name")
        if not path.exists():
            raise WeightsError(f"{path}: no such weights file")
        return path
    folders = [cache_folder() / "weights"]
    if own := os.environ.get(FOLDER_VARIABLE):
        folders.insert(0, Path(own))
    known = packaged()
    if own and (file := folders[0] / f"{name_or_path}.safetensors").is_file():
        return file
    if name_or_path in known:
        return PACKAGED / known[name_or_path].file
    if (file := folders[-1] / f"{name_or_path}.safetensors").is_file():
        return file
    names = ", ".join(sorted(known)) or "none"
    raise WeightsError(f"no weights named '{name_or_path}'; packaged are: {names}; or give a .safetensors file")
