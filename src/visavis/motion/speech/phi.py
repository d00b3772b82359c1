"""Phi: how a head moves with its speech (Chen et al. 2020, sections 3.3 and 0.A.1, figure 12).

An encoder makes of a reference clip the weights of a linear layer; an extrapolator makes features of the speech, and
that layer makes head motion of them. Little of a head's motion follows from sound, and a network that says what is
likeliest stands still. So beside the features of the sound the layer is given smooth noise in bands
(:mod:`visavis.motion.speech.sway`) that the sound opens and closes: what the layer holds then is a person's amplitude,
speed and spectrum, and how the six numbers go together.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visavis.audio.mel import MEL_BANDS
from visavis.motion.speech.config import SpeakerConfig
from visavis.motion.speech.head import (
    CAMERA_VALUES,
    FEATURE_FRAMES,
    GATE_FRAMES,
    KERNEL,
    PICTURE_KERNEL,
    Layer,
    moved,
)
from visavis.motion.speech.sway import BANDS_HZ, CHANNELS, CHANNELS_A_BAND

_PICTURE_STRIDE = 3
_TINY = 1e-3


class RhythmEncoder(nn.Module):
    """f: a reference clip to a rhythm, and a rhythm to the weights of the linear layer."""

    def __init__(self, config: SpeakerConfig) -> None:
        super().__init__()
        width = 32
        self.listen = nn.Linear(MEL_BANDS, 8)
        self.first = nn.Conv1d(2 * CAMERA_VALUES + 8, width, 5, padding=2)
        self.second = nn.Conv1d(width, width, 5, stride=2, padding=2)
        self.join = nn.Sequential(
            nn.Linear(2 * width + 3 * CAMERA_VALUES, 64),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(64, config.code),
        )
        self.sizes = (config.audio, CHANNELS)
        self.size = nn.Linear(config.code, CAMERA_VALUES)
        self.weights = nn.Linear(config.code, CAMERA_VALUES * (config.audio + CHANNELS))
        self.bias = nn.Linear(config.code, CAMERA_VALUES)
        self.tremor = nn.Linear(config.code, CAMERA_VALUES)
        with torch.no_grad():
            # Slow bands move heads more than fast ones: begin near to what heads do.
            start = torch.zeros(CAMERA_VALUES, config.audio + CHANNELS)
            start[:, : config.audio] = 0.02 * torch.randn(CAMERA_VALUES, config.audio)
            for channel in range(CHANNELS):
                band = channel // CHANNELS_A_BAND
                start[channel % CAMERA_VALUES, config.audio + channel] = 0.3 * 0.6 ** max(band - 2, 0)
            self.weights.bias.copy_(start.flatten())
            self.weights.weight.mul_(0.1)
            self.tremor.bias.fill_(-3.0)

    def forward(self, head: Tensor, sound: Tensor) -> Tensor:
        """Code ``[B, code]`` of heads ``[B, tau, 6]``, in units of :data:`HEAD_SCALE`, and spectra ``[B, tau, 80]``."""
        head = head - head.mean(1, keepdim=True)
        steps = head[:, 1:] - head[:, :-1]  # not diff(), which ONNX has not
        speed = F.avg_pool1d(F.pad(steps, (0, 0, 1, 0)).transpose(1, 2), 3, 1, 1).transpose(1, 2)
        sizes = [(x.std(1) + _TINY).log() for x in (head, speed, steps[:, 1:] - steps[:, :-1])]
        # Shapes of unit size, and sizes apart: a rhythm of any strength is told alike.
        shape = torch.cat([head / (head.std(1, keepdim=True) + _TINY), speed / (speed.std(1, keepdim=True) + _TINY)], 2)
        x = torch.cat([shape, self.listen(sound)], 2).transpose(1, 2)
        x = F.gelu(self.second(F.gelu(self.first(x))))
        return self.join(torch.cat([x.mean(2), x.std(2), *sizes], 1))

    def layer(self, code: Tensor) -> Layer:
        """The linear layer of rhythms ``[B, code]``."""
        size = self.size(code).clamp(-4, 4).exp()
        weights = self.weights(code).view(len(code), CAMERA_VALUES, sum(self.sizes)) * size[..., None]
        sound, noise = weights.split(self.sizes, 2)
        return Layer(sound, noise, self.bias(code), self.tremor(code).clamp(-7, 1))


class Extrapolator(nn.Module):
    """Sound to the features that the linear layer turns into motion, and to the gates of the noise.

    Two convolutions over the spectrogram as a picture, then one over time; all look back only.
    """

    def __init__(self, config: SpeakerConfig) -> None:
        super().__init__()
        channels = config.picture
        self.first = nn.Conv2d(1, channels, PICTURE_KERNEL, (_PICTURE_STRIDE, 1))
        self.second = nn.Conv2d(channels, channels, PICTURE_KERNEL, (_PICTURE_STRIDE, 1))
        bands = MEL_BANDS
        for _ in range(2):
            bands = (bands - PICTURE_KERNEL[0]) // _PICTURE_STRIDE + 1
        self.time = nn.Conv1d(channels * bands, config.audio, KERNEL)
        self.drop = nn.Dropout(config.dropout)
        self.gates = nn.Linear(config.audio, len(BANDS_HZ))

    def forward(self, sound: Tensor) -> tuple[Tensor, Tensor]:
        """Features ``[B, T, audio]`` and gates ``[B, T, CHANNELS]`` in [0, 2] of spectra ``[B, T, 80]``."""
        x = sound.transpose(1, 2)[:, None]
        for convolution in (self.first, self.second):
            x = F.gelu(convolution(F.pad(x, (PICTURE_KERNEL[1] - 1, 0, 0, 0), mode="replicate")))
        x = F.gelu(self.time(F.pad(x.flatten(1, 2), (KERNEL - 1, 0), mode="replicate")))
        raised = self.gates(x.transpose(1, 2)).transpose(1, 2)
        gates = 2 * _lately(raised, GATE_FRAMES).sigmoid().transpose(1, 2)
        return self.drop(_lately(x, FEATURE_FRAMES).transpose(1, 2)), gates.repeat_interleave(CHANNELS_A_BAND, 2)


def _lately(x: Tensor, frames: int) -> Tensor:
    """Means of the last frames, of ``[B, C, T]``."""
    return F.avg_pool1d(F.pad(x, (frames - 1, 0), mode="replicate"), frames, 1)


class HeadMotionLearner(nn.Module):
    """Phi whole."""

    def __init__(self, config: SpeakerConfig) -> None:
        super().__init__()
        self.encoder = RhythmEncoder(config)
        self.extrapolator = Extrapolator(config)
        #: Rhythms of those who bring no reference clip.
        self.rhythms = nn.Parameter(0.5 * torch.randn(config.rhythms, config.code))

    def forward(self, code: Tensor, sound: Tensor, noise: Tensor) -> Tensor:
        """Head motion ``[B, T, 6]`` (:data:`HEAD_SCALE`) of rhythms, spectra and noise ``[B, T, CHANNELS]``."""
        features, gates = self.extrapolator(sound)
        return moved(self.encoder.layer(code), features, gates * noise)


class RhythmJudge(nn.Module):
    """D: tells real head motion from made by its mean and standard deviation; by those of its speed, too (ours)."""

    def __init__(self) -> None:
        super().__init__()
        self.score = nn.Sequential(nn.Linear(3 * CAMERA_VALUES, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))

    def forward(self, head: Tensor) -> Tensor:
        """Logits ``[B, 1]`` of heads ``[B, T, 6]``; real ones are high."""
        speed = F.avg_pool1d(head.transpose(1, 2), 3, 1).diff(dim=2)
        sizes = [(x.var(2) + _TINY**2).log() / 2 for x in (head.transpose(1, 2), speed)]
        return self.score(torch.cat([head.mean(1), *sizes], 1))
