"""A network as it is run, not trained: what stays the same for every frame is worked out once.

In evaluation mode a batch norm is an affine map with fixed numbers. Behind a convolution it melts into that
convolution's weights, and inside SPADE into those of the modulation, so that a pass over the features is saved each
time. Results agree to rounding; parameters are others, so a folded network is never saved.

In bf16 weights are cast once instead of for every frame. Parts that say where things are stay in float32: a grid that
is off by a thousandth moves the edges of a picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from visavis.nn.blocks import DownBlock, ResBlock, SameBlock, UpBlock
from visavis.nn.norms import Spade

N = TypeVar("N", bound=nn.Module)


class FoldedSpade(nn.Module):
    """What :class:`Spade` computes in evaluation mode, with its batch norm inside the modulation.

    ``(x - mean) / std * (1 + gamma) + beta`` is ``x * scale + shift`` where scale and shift are affine in gamma and
    beta, which a convolution makes: so it makes scale and shift in their place.
    """

    def __init__(self, spade: Spade) -> None:
        super().__init__()
        norm = spade.norm
        assert norm.running_mean is not None and norm.running_var is not None
        mean, each = norm.running_mean, (norm.running_var + norm.eps).rsqrt()
        gamma, beta = spade.gamma_beta.weight.chunk(2)
        assert spade.gamma_beta.bias is not None
        gamma_bias, beta_bias = spade.gamma_beta.bias.chunk(2)
        scale, scale_bias = gamma * each[:, None, None, None], (spade.one + gamma_bias) * each
        self.shared, channels = spade.shared, spade.gamma_beta.out_channels // 2
        # Two convolutions: halves of one result lie strewn in memory, and all that follows would run slowly.
        self.scale = _like(spade.gamma_beta, channels, scale, scale_bias)
        shift, shift_bias = beta - scale * mean[:, None, None, None], beta_bias - scale_bias * mean
        self.shift = _like(spade.gamma_beta, channels, shift, shift_bias)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Return ``x [B, C, h, w]`` normalised and modulated; ``condition`` has the same h and w."""
        hidden = self.shared(condition).relu_()
        scale, shift = self.scale(hidden), self.shift(hidden)
        return torch.addcmul(shift, x.to(shift.dtype), scale)


def _fused(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    """A convolution that computes what it and the batch norm behind it do."""
    assert norm.running_mean is not None and norm.running_var is not None
    each = norm.weight * (norm.running_var + norm.eps).rsqrt()
    bias = -norm.running_mean if conv.bias is None else conv.bias - norm.running_mean
    return _like(conv, conv.out_channels, conv.weight * each[:, None, None, None], bias * each + norm.bias)


def _like(conv: nn.Conv2d, channels: int, weight: Tensor, bias: Tensor) -> nn.Conv2d:
    """A convolution with other weights: buffers, since they are computed of a network's, in recorded graphs too."""
    made = nn.Conv2d(conv.in_channels, channels, conv.kernel_size, conv.stride, conv.padding)  # type: ignore[arg-type]
    del made.weight, made.bias
    made.register_buffer("weight", weight)
    made.register_buffer("bias", bias)
    return made.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


@torch.no_grad()
def folded(network: N, *, exact: Sequence[str] = (), bf16: bool = False) -> N:
    """Copy a network in evaluation mode, with its batch norms folded into the convolutions beside them.

    Args:
        network: in evaluation mode.
        exact: names of parts that run in float32, whatever the rest does.
        bf16: run convolutions and products of all other parts in bf16; it still has to be called under autocast, which
            casts what goes into them.

    Raises:
        ValueError: it is in training mode, in which batch norms have no fixed numbers.
    """
    if network.training:
        raise ValueError("a network in training mode cannot be folded: call eval() first")
    fast = melted(deepcopy(network).requires_grad_(False))
    if bf16:
        for name, module in fast.named_modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)) and not name.startswith(tuple(f"{part}." for part in exact)):
                module.to(torch.bfloat16)
        for name in exact:
            _run_in_float32(fast.get_submodule(name))
    return fast.eval().requires_grad_(False)


def melted(network: N) -> N:
    """Put other modules in the place of a network's own, in which its batch norms are folded."""
    for module in list(network.modules()):
        _fold_block(module)
        for name, child in list(module.named_children()):
            if isinstance(child, Spade):
                setattr(module, name, FoldedSpade(child))
    return network


def _run_in_float32(part: nn.Module) -> None:
    """Let autocast alone what is called inside a part; what goes in has to be float32."""
    forward, device = part.forward, next(iter(part.state_dict().values())).device.type

    def exactly(*args: Any) -> Any:
        with torch.autocast(device, enabled=False):
            return forward(*args)

    part.forward = exactly  # type: ignore[method-assign]


def _fold_block(module: nn.Module) -> None:
    if isinstance(module, (SameBlock, DownBlock, UpBlock)):
        module.conv = _fused(module.conv, module.norm)
        module.norm = nn.Identity()  # type: ignore[assignment]
    elif isinstance(module, ResBlock):
        # The first norm stands before a ReLU, and so has no convolution that it could melt into.
        module.conv1 = _fused(module.conv1, module.norm2)
        module.norm2 = nn.Identity()  # type: ignore[assignment]
    elif isinstance(module, nn.Sequential):
        for i in range(len(module) - 1):
            conv, norm = module[i], module[i + 1]
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                module[i], module[i + 1] = _fused(conv, norm), nn.Identity()
