"""LPIPS (Zhang et al. 2018): the perceptual loss of AVFR-GAN, with weights of the user's own.

The published weights are not part of this package. A file of them is one safetensors or ``.pth`` table with
torchvision's VGG-16 (``features.N.weight``, ``features.N.bias``) and the five linear layers of LPIPS
(``lin0.model.1.weight`` to ``lin4.model.1.weight``).
"""

from __future__ import annotations

import pickle
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from visavis.core.errors import ConfigError, WeightsError

# Convolutions of VGG-16 by torchvision's numbers, in the five slices that LPIPS compares.
_SLICES: tuple[tuple[tuple[int, int, int], ...], ...] = (
    ((0, 3, 64), (2, 64, 64)),
    ((5, 64, 128), (7, 128, 128)),
    ((10, 128, 256), (12, 256, 256), (14, 256, 256)),
    ((17, 256, 512), (19, 512, 512), (21, 512, 512)),
    ((24, 512, 512), (26, 512, 512), (28, 512, 512)),
)
_SHIFT = (-0.030, -0.088, -0.188)
_SCALE = (0.458, 0.448, 0.450)


class Lpips(nn.Module):
    """Perceptual distance of pictures; its weights do not learn."""

    name = "lpips-vgg16"
    shift: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.ModuleDict(
            {str(n): nn.Conv2d(inside, outside, 3, padding=1) for part in _SLICES for n, inside, outside in part}
        )
        self.lin = nn.ParameterList([torch.zeros(1, part[-1][2], 1, 1) for part in _SLICES])
        self.register_buffer("shift", torch.tensor(_SHIFT)[:, None, None], persistent=False)
        self.register_buffer("scale", torch.tensor(_SCALE)[:, None, None], persistent=False)
        self.requires_grad_(False)

    @classmethod
    def from_file(cls, path: Path) -> Lpips:
        """Load the published weights.

        Raises:
            WeightsError: no such file, not a table of tensors, or a key is missing.
        """
        table = _read(path)
        network = cls()
        try:
            with torch.no_grad():
                for number, conv in network.features.items():
                    assert isinstance(conv, nn.Conv2d) and conv.bias is not None
                    conv.weight.copy_(table[f"features.{number}.weight"])
                    conv.bias.copy_(table[f"features.{number}.bias"])
                for level, lin in enumerate(network.lin):
                    lin.copy_(table[f"lin{level}.model.1.weight"])
        except (KeyError, RuntimeError) as error:
            raise WeightsError(f"{path}: is not a table of LPIPS weights ({' '.join(str(error).split())})") from error
        return network

    def forward(self, made: Tensor, real: Tensor) -> Tensor:
        """Return the distance ``[B]`` of pictures ``[B, 3, S, S]`` in [0, 1]."""
        a, b = ((2 * x - 1 - self.shift) / self.scale for x in (made, real))
        total = made.new_zeros(made.shape[0])
        for level, (part, lin) in enumerate(zip(_SLICES, self.lin, strict=True)):
            if level:
                a, b = F.max_pool2d(a, 2), F.max_pool2d(b, 2)
            for number, _, _ in part:
                a, b = (F.relu(self.features[str(number)](x)) for x in (a, b))
            difference = (_unit(a) - _unit(b)) ** 2
            total = total + (difference * lin).sum(1).mean((1, 2))
        return total


def choose(spec: str, device: torch.device) -> nn.Module:
    """The perceptual network of a run: LPIPS from the file that ``spec`` names, on ``device``."""
    if not spec:
        raise ConfigError("losses.perceptual counts, but 'perceptual' names no file of LPIPS weights")
    return Lpips.from_file(Path(spec)).to(device)


def _unit(x: Tensor) -> Tensor:
    return x / ((x**2).sum(1, keepdim=True).sqrt() + 1e-10)


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise WeightsError(f"{path}: no such file of LPIPS weights")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        table = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as error:
        raise WeightsError(f"{path}: is not a table of tensors, or is damaged") from error
    if not isinstance(table, dict):
        raise WeightsError(f"{path}: is not a table of tensors")
    return table
