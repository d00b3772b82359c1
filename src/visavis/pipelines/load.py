"""From a name or a path to a generator that is ready to use."""

from __future__ import annotations

import torch

from visavis.core.errors import ConfigError
from visavis.core.registry import generator_class
from visavis.generators.base import Generator
from visavis.weights.checkpoint import load
from visavis.weights.network import load_fitting
from visavis.weights.store import resolve


def choose_device(device: str) -> str:
    """Turn ``auto`` into ``cuda`` or ``cpu``; refuse what is not there."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("--device cuda: no CUDA device is available to this torch; use cpu or auto")
    return device


def choose_precision(precision: str, device: str) -> str:
    """Turn ``auto`` into the precision that suits the device."""
    if precision == "int8":
        raise ConfigError("--precision int8 is not available yet; use auto, fp32 or bf16")
    if precision == "auto":
        return "bf16" if device == "cuda" else "fp32"
    return precision


def load_generator(name_or_path: str, *, device: str = "auto", precision: str = "auto") -> Generator:
    """Load weights into the generator of their family.

    Raises:
        WeightsError: not found, damaged, of an unknown family, or keys that do not match.
    """
    path = resolve(name_or_path)
    header = load(path, tensors=False)
    device = choose_device(device)
    cls = generator_class(header.family)
    network = load_fitting(path, header, lambda: cls.new_network(header.config))
    loaded: Generator = cls.from_config(
        header.config, network, device=device, precision=choose_precision(precision, device)
    )
    return loaded
