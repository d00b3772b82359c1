"""All that a speaker has learned, as one network: what its weights file holds."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visavis.audio.mel import MEL_BANDS
from visavis.motion.speech.config import SpeakerConfig
from visavis.motion.speech.heard import numbers_heard
from visavis.motion.speech.idle import SIZES as IDLE_SIZES
from visavis.motion.speech.phi import HeadMotionLearner
from visavis.motion.speech.psi import ExpressionLearner
from visavis.motion.speech.sway import CHANNELS
from visavis.nn.cost import gmac

FAMILY = "speaker"
#: Shares of frames at which openings of mouths are compared, real and predicted.
QUANTILES = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98)


class SpeakerNetwork(nn.Module):
    """Psi, Phi, and what was measured in the same people.

    Attributes:
        psi, phi: the two learners.
        identity_scale, expression_scale: standard deviations of the 3D face's coefficients.
        predicted, real: ``[13]``, openings of the mouth (mean gap of the inner lips, in units of the unposed face) at
            :data:`QUANTILES`, as Psi predicts them and as they are.
    """

    identity_scale: Tensor
    expression_scale: Tensor

    def __init__(self, config: SpeakerConfig) -> None:
        super().__init__()
        self.config = config
        self.psi, self.phi = ExpressionLearner(config), HeadMotionLearner(config)
        start = torch.tensor(QUANTILES) * 0.2
        self.predicted, self.real = nn.Parameter(start.clone()), nn.Parameter(start.clone())
        self.register_buffer("identity_scale", torch.ones(config.identity))
        self.register_buffer("expression_scale", torch.ones(config.expression))
        for name, shape in IDLE_SIZES.items():
            self.register_buffer(f"idle_{name}", torch.zeros(shape))

    def change(self, heard: Tensor, identity: Tensor) -> Tensor:
        """Expression as change from rest, ``[B, T, n_exp]``, for sound ``[B, T, n]`` and people ``[B, n_id]``."""
        return self.change_of(self.psi.noticed(heard), identity)

    def change_of(self, noticed: Tensor, identity: Tensor) -> Tensor:
        """The same of what Psi notices, ``[B, T, width]``: a stream keeps it of frames before."""
        spoken = self.psi.said(noticed, identity / self.identity_scale)
        return F.pad(spoken, (0, self.config.expression - self.config.spoken)) * self.expression_scale

    def idle(self) -> dict[str, Tensor]:
        """Tables of :mod:`visavis.motion.speech.idle` by name."""
        return {name: getattr(self, f"idle_{name}") for name in IDLE_SIZES}

    def gmac(self) -> dict[str, dict[str, float]]:
        """1e9 multiply-accumulates of one frame of a stream, without what is kept of frames before."""
        heard = torch.zeros(1, 1, numbers_heard(self.config.hears))
        person, code = torch.zeros(1, self.config.identity), torch.zeros(1, self.config.code)
        sound, noise = torch.zeros(1, 1, MEL_BANDS), torch.zeros(1, 1, CHANNELS)
        parts: dict[str, Any] = {
            "psi": lambda: self.change(heard, person),
            "phi": lambda: self.phi(code, sound, noise),
        }
        return {"per_frame": {name: gmac(run) for name, run in parts.items()}}
