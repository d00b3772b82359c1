"""From a weights file to a network of a known family, ready for use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from torch import nn

from visavis.core.config import build
from visavis.core.errors import ConfigError, WeightsError
from visavis.weights.checkpoint import Checkpoint, check_fits, load, load_into
from visavis.weights.outline import outline

_Config = TypeVar("_Config")
_Network = TypeVar("_Network", bound=nn.Module)


def load_network(path: Path, family: str, shape: type[_Config], make: Callable[[_Config], _Network]) -> _Network:
    """Load a network in evaluation mode and on the CPU.

    Args:
        path: the weights.
        family: that they must be of.
        shape: dataclass of the network's shape, which the header holds.
        make: builds the network of a shape.

    Raises:
        WeightsError: no such file, damaged, or of another family or shape.
    """
    header = load(path, tensors=False)
    if header.family != family:
        raise WeightsError(f"{path}: is of family '{header.family}'; '{family}' is needed")
    network = load_fitting(path, header, lambda: make(build(shape, header.config)))
    return network.eval().requires_grad_(False)


def load_fitting(path: Path, header: Checkpoint, make: Callable[[], _Network]) -> _Network:
    """Build a network and load its weights; the memory is taken once the file is known to hold just its tensors.

    Args:
        path: the weights.
        header: of that file, as ``load(path, tensors=False)`` reads it.
        make: builds the network of the shape that the header's config describes.

    Raises:
        WeightsError: the config describes no network of the family, or one of other tensors than the file's.
    """
    check_fits(outlined(path, header, make), header, path)
    network = make()
    load_into(network, load(path), path)
    return network


def outlined(path: Path, header: Checkpoint, make: Callable[[], _Network]) -> _Network:
    """The outline of the network that a header describes; arguments and errors as for :func:`load_fitting`."""
    try:
        return outline(make)
    except (ConfigError, ValueError, TypeError, RuntimeError, OverflowError) as error:
        # torch refuses impossible shapes in its own words, and sometimes in many lines.
        why = str(error).partition("\n")[0]
        raise WeightsError(f"{path}: its config describes no network of family '{header.family}' ({why})") from error
