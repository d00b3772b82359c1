"""Checkpoints: safetensors with the family, the network's shape and the weights' story in the header."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from visavis.core.aside import why_not, written_aside
from visavis.core.config import build
from visavis.core.errors import ConfigError, OutputError, WeightsError
from visavis.core.strict_json import loads
from visavis.weights.store import base_of

if TYPE_CHECKING:
    from torch import Tensor, nn

_FORMAT = "visavis-1"
_MOST_NAMED = 3
#: Of a file's header, which names each tensor in some hundred bytes.
MOST_HEADER_BYTES = 4 << 20


@dataclass(frozen=True)
class Checkpoint:
    """What a weights file holds.

    Attributes:
        family: which generator it is for, e.g. ``avfr``.
        config: the network's shape, as plain values.
        meta: licence, training data, steps and the like; ``base`` names weights that these stand on, see :class:`Base`.
        tensors: the weights, those of its base too, in the precision of the file; or what has their shapes, and no
            numbers.
    """

    family: str
    config: dict[str, Any]
    meta: dict[str, Any]
    tensors: dict[str, Any]


@dataclass(frozen=True)
class Base:
    """Packaged weights that others stand on: some parts are theirs, and not stored a second time.

    Attributes:
        name: of the weights.
        sha256: of their file, in hex.
        parts: names of parts whose tensors are taken from there.
    """

    name: str
    sha256: str
    parts: tuple[str, ...]

    @classmethod
    def of(cls, plain: object) -> Base:
        """As ``base`` of a checkpoint's meta has it.

        Raises:
            ValueError: it is not of that form.
        """
        try:
            return build(cls, cast(Mapping[str, Any], plain))
        except (ConfigError, TypeError, AttributeError) as error:
            raise ValueError(f"its 'base' is damaged: {error}") from error

    def gives(self, tensor: str) -> bool:
        """Whether a tensor is one of its parts'."""
        return tensor.startswith(tuple(f"{part}." for part in self.parts))


def save(
    path: Path,
    tensors: Mapping[str, Tensor],
    *,
    family: str,
    config: Mapping[str, Any],
    meta: Mapping[str, Any] | None = None,
    half: bool = False,
) -> None:
    """Write a checkpoint aside, then give it its name.

    Args:
        half: store floating point tensors as fp16, except those that would overflow (variances may).

    Raises:
        OutputError: it cannot be written there.
    """
    import torch
    from safetensors.torch import save_file

    stored = {
        # A copy each: safetensors refuses tensors that share memory.
        name: (_halved(tensor) if half else tensor).detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }
    header = {
        "format": _FORMAT,
        "family": family,
        "config": json.dumps(dict(config), sort_keys=True),
        "meta": json.dumps(dict(meta or {}), sort_keys=True),
    }
    try:
        with written_aside(path) as aside:
            save_file(stored, str(aside), metadata=header)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({why_not(error)})") from error
    except SafetensorError as error:
        raise OutputError(f"{path}: cannot be written ({error})") from error


def _halved(tensor: Tensor) -> Tensor:
    import torch

    fits = tensor.is_floating_point() and bool(tensor.abs().le(torch.finfo(torch.float16).max).all())
    return tensor.half() if fits else tensor


def load(path: Path, *, tensors: bool = True) -> Checkpoint:
    """Read a checkpoint; ``tensors=False`` reads the header alone, so that its tensors have shapes and no numbers.

    Raises:
        WeightsError: no such file, a pickle, truncated, or not written by visavis.
    """
    if not os.path.isfile(path):  # unlike Path.is_file, False and no error for a name that is too long
        raise WeightsError(f"{path}: no such weights file")
    try:
        check_header(path)
        with safe_open(str(path), framework="pt" if tensors else "numpy") as file:
            header = file.metadata() or {}
            if header.get("format") != _FORMAT:
                raise WeightsError(f"{path}: is not a visavis checkpoint (its header has no format '{_FORMAT}')")
            config, meta = loads(header["config"]), loads(header["meta"])
            if not isinstance(config, dict) or not isinstance(meta, dict):
                raise WeightsError(f"{path}: is damaged; config and meta in its header must be tables")
            names = file.keys()
            values = {name: _read(file, name, tensors) for name in names}
        if "base" in meta:
            values = {**_of_base(path, Base.of(meta["base"]), tensors), **values}
        return Checkpoint(header["family"], config, meta, values)
    except (SafetensorError, OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
        # The first of torch's lines: it may add a trace of its own.
        why = str(error).partition("\n")[0][:200]
        raise WeightsError(f"{path}: is not a safetensors file, or is damaged or cut short ({why})") from error


def _read(file: Any, name: str, numbers: bool) -> Any:
    """One tensor, or what has its shape alone."""
    return file.get_tensor(name) if numbers else np.broadcast_to(np.float32(0), file.get_slice(name).get_shape())


def _of_base(path: Path, base: Base, numbers: bool) -> dict[str, Any]:
    """The tensors that weights have of the packaged ones that they stand on."""
    with safe_open(str(base_of(path, base.name, base.sha256)), framework="pt" if numbers else "numpy") as file:
        return {name: _read(file, name, numbers) for name in file.keys() if base.gives(name)}  # noqa: SIM118


def arrays(path: Path, names: Collection[str]) -> dict[str, NDArray[Any]]:
    """Some of a checkpoint's tensors by name, its base's too, without torch; floating point ones in float32.

    Raises:
        WeightsError: a tensor is missing, or the file cannot be read.
    """
    try:
        with safe_open(str(path), framework="numpy") as file:
            own = set(file.keys())
            found = {name: file.get_tensor(name) for name in names if name in own}
            meta = loads((file.metadata() or {}).get("meta", "{}"))
        if "base" in meta:
            base = Base.of(meta["base"])
            with safe_open(str(base_of(path, base.name, base.sha256)), framework="numpy") as file:
                found |= {name: file.get_tensor(name) for name in names if name not in own}
        if missing := set(names) - found.keys():
            raise WeightsError(f"{path}: lacks {min(missing)}")
    except (SafetensorError, OSError, ValueError, TypeError) as error:
        raise WeightsError(f"{path}: cannot be read ({str(error)[:200]})") from error
    return {name: a.astype(np.float32, copy=False) if a.dtype.kind == "f" else a for name, a in found.items()}


def check_header(path: Path) -> None:
    """Look at the start of a safetensors file before anything of it is parsed.

    Raises:
        WeightsError: it is a pickle, or has a header of a size that no weights need.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(16)
    # A safetensors file begins with its header's length, which may look like a pickle's first bytes, and a brace.
    pickled = start[:2] in (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
    if pickled and start[8:9] != b"{":
        raise WeightsError(
            f"{path}: is a pickle, which could run code when opened; turn it into safetensors with "
            "`visavis weights convert`"
        )
    length = int.from_bytes(start[:8], "little")
    if start[8:9] == b"{" and length > MOST_HEADER_BYTES:
        raise WeightsError(f"{path}: has a header of {length:,} bytes; at most {MOST_HEADER_BYTES:,} are read")


def is_checkpoint(path: Path) -> bool:
    """Whether a file says in its header that visavis wrote it; False for what cannot be read at all."""
    try:
        check_header(path)
        with safe_open(str(path), framework="numpy") as file:
            return (file.metadata() or {}).get("format") == _FORMAT
    except (WeightsError, SafetensorError, OSError, ValueError):
        return False


def check_fits(network: nn.Module, checkpoint: Checkpoint, path: Path) -> None:
    """Refuse a checkpoint unless every name and shape is the network's; neither needs to hold numbers.

    Raises:
        WeightsError: tensors are missing, unknown, or of another shape.
    """
    check_shapes({name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}, checkpoint, path)


def check_shapes(wanted: Mapping[str, tuple[int, ...]], checkpoint: Checkpoint, path: Path) -> None:
    """The same, of shapes by name."""
    missing = sorted(wanted.keys() - checkpoint.tensors.keys())
    extra = sorted(checkpoint.tensors.keys() - wanted.keys())
    shapes = [
        name
        for name in wanted.keys() & checkpoint.tensors.keys()
        if wanted[name] != tuple(checkpoint.tensors[name].shape)
    ]
    for problem, names in (("lacks", missing), ("has unknown", extra), ("has another shape for", sorted(shapes))):
        if names:
            more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
            raise WeightsError(f"{path}: {problem} {', '.join(names[:_MOST_NAMED])}{more}")


def load_into(network: nn.Module, checkpoint: Checkpoint, path: Path) -> None:
    """Copy the checkpoint's tensors into a network; every key and shape must match exactly."""
    check_fits(network, checkpoint, path)
    import torch

    wanted = network.state_dict()
    with torch.no_grad():
        network.load_state_dict({name: tensor.to(wanted[name].dtype) for name, tensor in checkpoint.tensors.items()})


def sha256(path: Path) -> str:
    """Hash of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else _digest(file)


def _digest(file: Any) -> str:
    digest = hashlib.sha256()
    while block := file.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()
