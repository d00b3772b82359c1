"""Published tables of weights: read without running anything in them, and checked key by key."""

from __future__ import annotations

import pickle
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from visavis.core.errors import WeightsError

_MOST_NAMED = 3


def read_table(path: Path) -> dict[str, Tensor]:
    """Read names and tensors from ``.safetensors`` or ``.pth`` (``weights_only``).

    Raises:
        WeightsError: no such file, damaged, or something else than a table of tensors.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        table = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as error:
        raise WeightsError(f"{path}: is not a table of tensors, or is damaged") from error
    if not isinstance(table, dict) or not all(isinstance(value, Tensor) for value in table.values()):
        raise WeightsError(f"{path}: is not a table of tensors")
    return table


def load_exactly(network: nn.Module, table: dict[str, Tensor], path: Path) -> None:
    """Copy a table into a network; every key and shape must match.

    Counters of batch norm do not count: old files lack them and nothing reads them.
    """
    wanted = {name: value for name, value in network.state_dict().items() if not name.endswith("num_batches_tracked")}
    given = {name: value for name, value in table.items() if not name.endswith("num_batches_tracked")}
    shapes = [name for name in wanted.keys() & given.keys() if wanted[name].shape != given[name].shape]
    problems = (
        ("lacks", wanted.keys() - given.keys()),
        ("has unknown", given.keys() - wanted.keys()),
        ("has another shape for", set(shapes)),
    )
    for problem, names in problems:
        if names:
            raise WeightsError(f"{path}: {problem} {', '.join(sorted(names)[:_MOST_NAMED])} and is not these weights")
    network.load_state_dict(given, strict=False)
