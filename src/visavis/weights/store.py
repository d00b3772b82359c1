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
#: The model that talks best, by numbers and by eye; see docs/talk.md.
TALKING_MODEL = "avfr-256"
_SHOWN = 12


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
    """Find weights by path or name; packaged weights are checked against their hash.

    Raises:
        WeightsError: nothing of that name, with the names that are known; or packaged weights that are damaged.
    """
    path = Path(name_or_path)
    if os.path.isfile(path):  # unlike Path.is_file, False and no error for a name that is too long
        return path
    # A folder that happens to have the name of weights, such as a training run's, does not hide them.
    if path.suffix or path.name != name_or_path:
        raise WeightsError(
            f"{path}: is a folder; weights are a .safetensors file or a name"
            if os.path.isdir(path)
            else f"{path}: no such weights file"
        )
    own, known = os.environ.get(FOLDER_VARIABLE), packaged()
    if own and os.path.isfile(file := Path(own) / f"{name_or_path}.safetensors"):
        return file
    if name_or_path in known:
        return _checked(known[name_or_path])
    if os.path.isfile(file := cache_folder() / "weights" / f"{name_or_path}.safetensors"):
        return file
    names = ", ".join(sorted(known)) or "none"
    raise WeightsError(f"no weights named '{name_or_path}'; packaged are: {names}; or give a .safetensors file")


def base_of(path: Path, name: str, digest: str) -> Path:
    """File of the packaged weights that those of ``path`` stand on, which must be the very ones.

    Raises:
        WeightsError: there are none of that name and hash, or they are damaged.
    """
    entry = packaged().get(name)
    if entry is None or entry.sha256 != digest:
        wanted = f"'{name[:_SHOWN]}' of sha256 {digest[:_SHOWN]}..."
        raise WeightsError(f"{path}: stands on the packaged weights {wanted}, which this version does not have")
    return _checked(entry)


def _checked(entry: Entry) -> Path:
    from visavis.weights.checkpoint import sha256  # brings NumPy, which listing names does not need

    file = PACKAGED / entry.file
    if not file.is_file() or sha256(file) != entry.sha256:
        raise WeightsError(f"packaged weights '{entry.name}' are missing or damaged; install visavis again")
    return file
