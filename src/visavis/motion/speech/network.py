"""All that a speaker has learned, as one network: what its weights file holds."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visavis.audio.mel import MEL_BANDS
from visavis.motion.speech.config import SpeakerConfig
from visavis.motion.speech.head import Layer
from visavis.motion.speech.heard import numbers_heard
from visavis.motion.speech.idle import SIZES as IDLE_SIZES
from visavis.motion.speech.mouth import QUANTILES
from visavis.motion.speech.phi import HeadMotionLearner
from visavis.motion.speech.psi import ExpressionLearner
from visavis.motion.speech.sway import CHANNELS
from visavis.nn.cost import gmac


class SpeakerNetwork(nn.Module):
    """Psi, Phi, and what was measured in the same people.

    Attributes:
        psi, phi: the two learners.
        identity_scale, expression_scale: standard deviations of the 3D face's coefficients.
        predicted, real: ``[13]``, openings of the mouth (mean gap of the inner lips, in units of the unposed face) at
            :data:`visavis.motion.speech.mouth.QUANTILES`, as Psi predicts them and as they are.
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

    def notice(self, heard: Tensor) -> Tensor:
        """What Psi takes of one frame's sound ``[n]`` by itself, ``[width]``."""
        return self.psi.noticed(heard)

    def say(self, noticed: Tensor, identity: Tensor) -> Tensor:
        """Expression ``[B, n_exp]`` at the last of frames, see :meth:`change_of`."""
        return self.change_of(noticed, identity)[:, -1]

    def encode(self, head: Tensor, sound: Tensor) -> Tensor:
        """The code of a reference clip, see :class:`visavis.motion.speech.phi.RhythmEncoder`."""
        return self.phi.encoder(head, sound)

    def layer(self, code: Tensor) -> Layer:
        """The linear layer of rhythms ``[B, code]``."""
        return self.phi.encoder.layer(code)

    def extrapolate(self, sound: Tensor) -> tuple[Tensor, Tensor]:
        """Features ``[B, 1, audio]`` and gates ``[B, 1, CHANNELS]`` at the last of spectra ``[B, T, 80]``."""
        features, gates = self.phi.extrapolator(sound)
        return features[:, -1:], gates[:, -1:]

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
