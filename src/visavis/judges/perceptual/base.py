"""What every perceptual distance has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visavis.core.errors import WeightsError


class PerceptualDistance(nn.Module, ABC):
    """A distance between pictures in the features of a network that does not learn any more.

    A subclass says what the features of a picture are and how two lists of them compare. Gradients reach the made
    picture alone; the sums are done in float32 even under autocast.

    Attributes:
        name: which distance this is, for logs, checkpoints and reports.
    """

    name: str

    def forward(self, made: Tensor, real: Tensor) -> Tensor:
        """Return the distance ``[B]`` of pictures ``[B, 3, S, S]`` in [0, 1]; 0 for equal ones."""
        with torch.autocast(made.device.type, enabled=False):
            with torch.no_grad():
                wanted = self.features(real.float())
            return self.compare(self.features(made.float()), wanted)

    @abstractmethod
    def features(self, picture: Tensor) -> list[Tensor]:
        """Feature maps of pictures ``[B, 3, S, S]`` in [0, 1]."""

    @abstractmethod
    def compare(self, made: Sequence[Tensor], wanted: Sequence[Tensor]) -> Tensor:
        """Distance ``[B]`` of two lists of feature maps."""

    def train(self, mode: bool = True) -> PerceptualDistance:
        """Stay in evaluation mode, whatever the network around does."""
        return super().train(False)


class Convolutions(nn.Module):
    """The convolutions of a VGG up to a layer, by torchvision's numbers; ReLU after each, 2x2 pooling between slices.

    Args:
        slices: numbers, input and output channels of the convolutions between two poolings.
    """

    def __init__(self, slices: Sequence[Sequence[tuple[int, int, int]]]) -> None:
        super().__init__()
        self.layers = nn.ModuleDict(
            {str(n): nn.Conv2d(inside, outside, 3, padding=1) for part in slices for n, inside, outside in part}
        )
        self._slices = [[str(n) for n, _, _ in part] for part in slices]

    def forward(self, x: Tensor) -> list[list[Tensor]]:
        """All outputs, slice by slice."""
        outputs: list[list[Tensor]] = []
        for numbers in self._slices:
            if outputs:
                x = F.max_pool2d(x, 2)
            outputs.append([])
            for number in numbers:
                x = F.relu(self.layers[number](x))
                outputs[-1].append(x)
        return outputs

    def keys(self) -> dict[str, str]:
        """Our names of the tensors, to torchvision's."""
        return {name: name.replace("layers.", "features.", 1) for name in self.state_dict()}


def fill(network: nn.Module, names: Mapping[str, str], table: Mapping[str, Tensor], path: Path, what: str) -> None:
    """Copy foreign weights into a network and freeze it; ``names`` maps its own keys to the table's.

    Raises:
        WeightsError: a key is missing or a shape differs, in one line.
    """
    missing = [foreign for foreign in names.values() if foreign not in table]
    if missing:
        raise WeightsError(f"{path}: is not a table of {what} weights (lacks {', '.join(missing[:3])})")
    own = network.state_dict()
    for name, foreign in names.items():
        if own[name].shape != table[foreign].shape:
            shapes = f"{tuple(table[foreign].shape)} in place of {tuple(own[name].shape)}"
            raise WeightsError(f"{path}: is not a table of {what} weights ({foreign} is {shapes})")
    network.load_state_dict({name: table[foreign].to(own[name].dtype) for name, foreign in names.items()})
    network.eval().requires_grad_(False)
