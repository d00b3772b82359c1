"""Audio-visual attention (AVFR-GAN, equation 2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class AudioVisualAttention(nn.Module):
    """Sigmoid of the dot product of a sound query with the motion features at each location."""

    def forward(self, query: Tensor, enc_motion: Tensor) -> Tensor:
        """Return Enc_attn ``[B, 1, h, w]``.

        Args:
            query: Enc_query ``[B, c]``.
            enc_motion: Enc_motion ``[B, c, h, w]``.
        """
        return torch.einsum("bc,bchw->bhw", query.float(), enc_motion.float())[:, None].sigmoid()
