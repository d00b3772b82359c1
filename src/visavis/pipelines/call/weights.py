"""Which weights both ends of a call must have, known by the hash of their file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from visavis.codec.bitstream import Header
from visavis.core.errors import CodecError, WeightsError
from visavis.generators.base import family_of
from visavis.weights.checkpoint import Base, load, sha256
from visavis.weights.store import packaged, resolve

_SHOWN = 12


@dataclass(frozen=True)
class WeightsId:
    """Weights as a call's header names them.

    Attributes:
        name: for people.
        sha256: of the file, in hex.
        moves_as: sha256 of the weights that they stand on, where these make their motion; else empty.
    """

    name: str
    sha256: str
    moves_as: str = ""

    @classmethod
    def of(cls, name_or_path: str) -> WeightsId:
        """Of weights that are here; a path goes by the name of its file."""
        path = resolve(name_or_path)
        name = Path(name_or_path).stem if path == Path(name_or_path) else name_or_path
        return cls(name, sha256(path), _moves_as(path))

    @property
    def motion(self) -> str:
        """Sha256 of the weights that a motion table has to be of: other weights may make the same motion."""
        return self.moves_as or self.sha256

    def check(self, header: Header) -> None:
        """Raise :class:`CodecError` unless the call was made with these weights."""
        wanted = header.weights.hex()
        if wanted != self.sha256:
            raise CodecError(
                f"the call was made with weights '{header.model}' of sha256 {wanted[:_SHOWN]}..., but here are "
                f"'{self.name}' of {self.sha256[:_SHOWN]}...; name the file of the same weights by --model"
            )


def _moves_as(path: Path) -> str:
    header = load(path, tensors=False)
    if "base" not in header.meta:
        return ""
    base, parts = Base.of(header.meta["base"]), family_of(header.family).moved_by
    return base.sha256 if parts and set(parts) <= set(base.parts) else ""


def weights_for(header: Header, named: str | None) -> str:
    """Name or path of the weights that a call needs: those that were named, or those of its header's name or hash."""
    if named is not None:
        return named
    for entry in packaged().values():
        if entry.sha256 == header.weights.hex():
            return entry.name
    try:
        # A name only: what comes over a wire must not choose among this machine's files.
        resolve(Path(header.model).name or "unnamed")
    except WeightsError as error:
        raise CodecError(
            f"the call was made with weights '{header.model}' of sha256 {header.weights.hex()[:_SHOWN]}..., which are "
            "not here; name their file by --model"
        ) from error
    return Path(header.model).name
