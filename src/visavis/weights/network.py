"""From a weights file to a network of a known family, ready for use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from torch import nn

from visavis.core.config import build
from visavis.core.errors import ConfigError, WeightsError
from visavis.weights.checkpoint import load, load_into

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
    checkpoint = load(path)
    if checkpoint.family != family:
        raise WeightsError(f"{path}: is of family '{checkpoint.family}'; '{family}' is needed")
    try:
        network = make(build(shape, checkpoint.config))
    except (ConfigError, ValueError, RuntimeError) as error:  # torch refuses impossible shapes in its own words
        raise WeightsError(f"{path}: its config describes no network of family '{family}' ({error})") from error
    load_into(network, checkpoint, path)
    return network.eval().requires_grad_(False)
