"""From a name or a path to a generator that is ready to use."""

from __future__ import annotations

import os

import torch

from visavis.core.errors import ConfigError
from visavis.core.processor import has_bf16, useful_threads
from visavis.core.registry import generator_class
from visavis.generators.base import Generator
from visavis.weights.checkpoint import load
from visavis.weights.network import load_fitting
from visavis.weights.store import resolve

PRECISIONS = ("auto", "fp32", "bf16")


def choose_device(device: str) -> str:
    """Turn ``auto`` into ``cuda`` or ``cpu``; refuse what is not there."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("--device cuda: no CUDA device is available to this torch; use cpu or auto")
    return device


def choose_precision(precision: str, device: str) -> str:
    """Turn ``auto`` into the precision that suits the device: bf16 where its arithmetic is in hardware."""
    if precision not in PRECISIONS:
        raise ConfigError(f"--precision {precision}: choose {', '.join(PRECISIONS[:-1])} or {PRECISIONS[-1]}")
    if precision == "auto":
        return "bf16" if device == "cuda" or has_bf16() else "fp32"
    return precision


def choose_threads(threads: int | None) -> int:
    """Set how many threads torch computes with in this process, and return it.

    Args:
        threads: this many; None lowers torch's number to what this process may use, and never raises what was set.
    """
    if threads is None and "OMP_NUM_THREADS" not in os.environ:
        threads = min(torch.get_num_threads(), useful_threads())
    if threads is not None and threads < 1:
        raise ConfigError(f"--threads {threads}: choose 1 or more")
    if threads is not None and threads != torch.get_num_threads():
        torch.set_num_threads(threads)
    return torch.get_num_threads()


def load_generator(
    name_or_path: str,
    *,
    device: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
    fold: bool = True,
) -> Generator:
    """Load weights into the generator of their family, ready to render.

    Args:
        name_or_path: of the weights.
        device: auto, cpu or cuda.
        precision: auto, fp32 or bf16.
        threads: as for :func:`choose_threads`.
        fold: make rendering fast, after which the network is neither trained nor saved.

    Raises:
        WeightsError: not found, damaged, of an unknown family, or keys that do not match.
    """
    path = resolve(name_or_path)
    header = load(path, tensors=False)
    device = choose_device(device)
    choose_threads(threads)
    cls = generator_class(header.family)
    network = load_fitting(path, header, lambda: cls.new_network(header.config))
    generator = cls.from_config(header.config, network, device=device, precision=choose_precision(precision, device))
    if fold:
        generator.fold()
    loaded: Generator = generator
    return loaded
