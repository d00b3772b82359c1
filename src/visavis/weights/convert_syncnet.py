"""SyncNet's published weights: ``syncnet_v2.model``, or the same table as safetensors."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from visavis.weights.convert import read_tensors

_NORM, _COUNTER = ".running_mean", ".num_batches_tracked"


def read_syncnet(source: Path) -> dict[str, Tensor]:
    """Read the published table without running what is in it.

    The file is older than the counters of batch norm, which nothing reads; they are added where they are missing.
    Everything else is for the network to compare, name by name.

    Raises:
        WeightsError: no such file, damaged, or holding more than tensors.
    """
    table = read_tensors(source)
    norms = [name.removesuffix(_NORM) for name in table if name.endswith(_NORM)]
    counters = {f"{name}{_COUNTER}": torch.zeros((), dtype=torch.long) for name in norms}
    return {**counters, **table}
