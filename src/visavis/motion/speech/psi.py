"""Psi: what is heard becomes what the face does (Chen et al. 2020, sections 3.2 and 0.A.2, figure 13)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visavis.motion.speech.config import SpeakerConfig
from visavis.motion.speech.heard import MEL_NUMBERS, numbers_heard


class ExpressionLearner(nn.Module):
    """Sound of frames to a face's change from rest.

    ``paper`` is the published network: an encoder of 0.28 s of sound and one of the person, and a decoder of both,
    linear all. ``temporal`` is ours: convolutions over frames that look back ``blocks * (kernel - 1)`` frames, so that
    a stream needs no more of what is to come than a single frame hears.

    Convention:
        Heard ``[B, T, n]`` and identity ``[B, n_id]`` (in standard deviations) give ``[B, T, spoken]``, in standard
        deviations of the expression's coefficients.
    """

    def __init__(self, config: SpeakerConfig) -> None:
        super().__init__()
        self.config = config
        heard = numbers_heard(config.hears)
        # Where the numbers of speech or the samples are heard alone, the spectrogram before them is left out.
        self.first = MEL_NUMBERS if config.hears in ("speech", "raw") else 0
        width = config.width
        self.listen = nn.Linear(heard - self.first, width)
        self.hidden, self.drop = nn.Dropout(config.hidden), nn.Dropout(config.dropout)
        self.person = nn.Linear(config.identity, config.person) if config.person else None
        temporal = config.learner == "temporal"
        blocks = range(config.blocks if temporal else 0)
        self.time = nn.ModuleList([nn.Conv1d(width, width, config.kernel) for _ in blocks])
        self.mix = nn.ModuleList([nn.Conv1d(width, width, 1) for _ in blocks])
        self.out = nn.Linear(width + config.person, config.spoken)

    def forward(self, heard: Tensor, identity: Tensor) -> Tensor:
        """See the class; before the first frame there was nothing but the first."""
        return self.said(self.noticed(heard), identity)

    def noticed(self, heard: Tensor) -> Tensor:
        """What is taken of each frame's sound by itself, ``[..., width]``."""
        return self.listen(self.hidden(heard[..., self.first :]))

    def said(self, noticed: Tensor, identity: Tensor) -> Tensor:
        """What is made of frames ``[B, T, width]``; the last one alone depends on the ``config.reach`` before it."""
        x = noticed.transpose(1, 2)
        for time, mix in zip(self.time, self.mix, strict=True):
            before = F.pad(x, (self.config.kernel - 1, 0), mode="replicate")
            x = x + mix(self.drop(F.gelu(time(before))))
        x = x.transpose(1, 2)
        if len(self.time):
            x = F.gelu(x)
        if self.person is not None:
            known = self.person(identity)[:, None].expand(-1, x.shape[1], -1)
            x = torch.cat([x, known], 2)
        return self.out(x)
