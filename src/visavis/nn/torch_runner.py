"""Torch itself as what computes the graphs of a network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from visavis.nn.arrays import mapped, on_host
from visavis.nn.engine import Engine
from visavis.nn.folding import folded
from visavis.nn.graph import CompileGraphs, Graph

NetworkT = TypeVar("NetworkT", bound=nn.Module)


class TorchRunner(Generic[NetworkT]):
    """See :class:`visavis.nn.graph.Runner`.

    Args:
        network: its graphs are methods of it.
        engine: device, precision and threads, with nothing left to choose.

    Attributes:
        device: where it computes.
    """

    def __init__(self, network: NetworkT, engine: Engine) -> None:
        self._engine, self.device = engine, torch.device(engine.device)
        self.network: NetworkT = network.to(self.device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]

    def __call__(self, name: str, *arguments: object) -> Any:
        """Call the network's method; NumPy arrays become tensors on its device."""
        return getattr(self.network, name)(*mapped(arguments, self._on_device))

    def weight(self, name: str) -> NDArray[np.float32]:
        """The numbers of a parameter or buffer."""
        return on_host(self.network.state_dict()[name])

    def expect(self, names: Iterable[str]) -> None:
        """Nothing: the network is there."""

    def let_go(self, names: Iterable[str]) -> None:
        """Nothing: the network is one piece."""

    @contextmanager
    def computing(self, *, reduced: bool) -> Iterator[None]:
        """No gradients, the engine's threads and, where that is allowed, its precision."""
        with self._engine.computing(), self._engine.autocast() if reduced else nullcontext():
            yield

    def fold(self, exact: Sequence[str], graphs: Sequence[Graph], compile_graphs: CompileGraphs | None) -> None:
        """Make the network fast, see :func:`visavis.nn.folding.folded`; what compiles graphs takes them over."""
        self.network = folded(self.network, exact=exact, bf16=self._engine.reduced)
        if compile_graphs is not None:
            compile_graphs(self.network, graphs, self._engine)

    def _on_device(self, array: Any) -> Tensor:
        return torch.from_numpy(array).to(self.device) if isinstance(array, np.ndarray) else array
