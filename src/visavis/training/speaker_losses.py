"""What a speaker's learners learn from: places of lips, and how likely real heads are under a rhythm."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from visavis.face.measures import LEFT_LIDS, LIPS, Measures
from visavis.face.mesh import LEFT_BROW, LEFT_EYE, RIGHT_BROW, RIGHT_EYE
from visavis.face.mesh import LIPS as LIP_POINTS
from visavis.face.model3d import FaceModel
from visavis.face.morphable import LinearFaceModel
from visavis.motion.speech.head import CAMERA_VALUES, Layer
from visavis.motion.speech.sway import CHANNELS_A_BAND, autocovariance

#: How much a point of the mesh counts against one of the lips: skin, and what speech does not move.
_SKIN, _EYES, _DEPTH = 0.02, 0.002, 0.5
_GAPS, _WIDTH = 2.0, 2.0
#: How much of a stretch's mean error counts: how wide somebody's mouth usually is open cannot be heard.
_MEAN = 0.4


class MouthLoss(nn.Module):
    """Squared distance of faces' points, most of all of lips, of gaps between them, and of their speed.

    Args:
        model: the 3D face.
        velocity: weight of differences from frame to frame.
    """

    metric: Tensor
    gaps: Tensor

    def __init__(self, model: FaceModel, velocity: float) -> None:
        super().__init__()
        self.velocity = velocity
        weight = np.full(len(model.mean), _SKIN)
        weight[list(LEFT_EYE + RIGHT_EYE + LEFT_BROW + RIGHT_BROW)] = _EYES
        weight[model.mean[:, 1] < model.mean[list(LEFT_EYE + RIGHT_EYE), 1].max()] = _EYES
        weight[list(LIP_POINTS)] = 1.0
        fields = model.expression * np.sqrt(weight)[:, None] * np.array([1, 1, _DEPTH])
        rows = fields.reshape(len(fields), -1).astype(np.float64)
        measures = Measures.of(LinearFaceModel(model.mean, model.expression)).rows
        gaps = measures[LIPS] * (_GAPS / 3)
        width = measures[LEFT_LIDS.stop : LEFT_LIDS.stop + 1] * _WIDTH
        # Lengths under all of these at once are lengths under the root of their sum.
        gram = rows @ rows.T + gaps.T @ gaps + width.T @ width
        values, vectors = np.linalg.eigh(gram)
        root = vectors * np.sqrt(np.maximum(values, 0))
        self.register_buffer("metric", torch.tensor(root, dtype=torch.float32))
        self.register_buffer("gaps", torch.tensor(measures[LIPS].mean(0), dtype=torch.float32))

    def opening(self, change: Tensor) -> Tensor:
        """Mean gap of the inner lips ``[...]`` of changes from rest ``[..., n_exp]``."""
        return change @ self.gaps

    def forward(self, made: Tensor, real: Tensor, keep: Tensor, empty: Tensor) -> Tensor:
        """Of changes from rest ``[B, T, n_exp]``; ``keep`` ``[B, T]`` and ``empty`` ``[B]`` as of the batch."""
        apart = (made - real) @ self.metric
        count = keep.sum(1).clamp(min=1)[:, None, None]
        mean = (apart * keep[..., None]).sum(1, keepdim=True) / count
        # Where nobody speaks the mouth is shut, and its mean says so.
        apart_from_mean = apart - (1 - _MEAN) * mean * (1 - empty)[:, None, None]
        place = (apart_from_mean.square().sum(2) * keep).sum() / keep.sum().clamp(min=1)
        both = keep[:, 1:] * keep[:, :-1]
        speed = (apart.diff(dim=1).square().sum(2) * both).sum() / both.sum().clamp(min=1)
        return place + self.velocity * speed


def pinball(quantiles: Tensor, shares: Tensor, values: Tensor) -> Tensor:
    """Loss that is least where ``quantiles`` ``[k]`` are the values' ``[n]`` at ``shares`` ``[k]``."""
    apart = values.detach()[:, None] - quantiles
    return torch.maximum(shares * apart, (shares - 1) * apart).mean()


class HeadLikelihood(nn.Module):
    """How likely real head motion is under a rhythm, by its spectrum in windows (Whittle 1953).

    Under a layer and gates a head is a Gaussian process: what the sound tells is its mean, and bands of noise its
        covariance.
    Minus the logarithm of the likelihood of the Fourier coefficients of real motion, about the mean, is exact but for
    neighbouring frequencies that are taken as independent.

    Args:
        windows: of each kind its length, hop, first frequency and the one after the last.
    """

    def __init__(self, windows: tuple[tuple[int, int, int, int], ...] = ((96, 96, 1, 13), (32, 16, 2, 7))) -> None:
        super().__init__()
        self.windows = windows
        for at, (length, _, first, last) in enumerate(windows):
            taper, bands, white = _expected(length, first, last)
            self.register_buffer(f"taper{at}", torch.tensor(taper, dtype=torch.float32))
            self.register_buffer(f"bands{at}", torch.tensor(bands, dtype=torch.float32))
            self.register_buffer(f"white{at}", torch.tensor(white, dtype=torch.float32))

    def forward(self, head: Tensor, told: Tensor, layer: Layer, gates: Tensor) -> Tensor:
        """Mean over windows and frequencies.

        Args:
            head: real ``[B, T, 6]``.
            told: ``[B, T, 6]``, what the sound tells of it.
            layer: of the rhythm.
            gates: ``[B, T, CHANNELS]``.
        """
        losses = []
        for at, (length, hop, first, last) in enumerate(self.windows):
            if head.shape[1] < length:
                continue
            taper, bands, white = (getattr(self, f"{name}{at}") for name in ("taper", "bands", "white"))
            pieces = (head - told).unfold(1, length, hop)  # [B, W, 6, length]
            pieces = (pieces - pieces.mean(3, keepdim=True)) * taper
            found = torch.fft.rfft(pieces, dim=3)[..., first:last].permute(0, 1, 3, 2)  # [B, W, F, 6]
            opened = (gates.square().unfold(1, length, hop) * (taper.square() / taper.square().sum())).sum(3)
            power = opened[:, :, None] * bands.repeat_interleave(CHANNELS_A_BAND, 1)  # [B, W, F, CHANNELS]
            noise = layer.noise[:, None, None]
            covariance = (noise * power[..., None, :]) @ noise.transpose(-1, -2)
            tremor = (2 * layer.tremor).exp()[:, None, None] * white[:, None]
            factor = torch.linalg.cholesky(covariance + torch.diag_embed(tremor + 1e-6 * white[:, None]))
            both = torch.stack([found.real, found.imag], -1)
            solved = torch.linalg.solve_triangular(factor, both, upper=False)
            log_det = 2 * factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
            losses.append((log_det + solved.square().sum((-1, -2))).mean() / CAMERA_VALUES)
        return torch.stack(losses).mean()


def _expected(
    length: int, first: int, last: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Taper ``[length]``; expected power under it, without means: bands' ``[F, bands]``, white noise's ``[F]``."""
    taper = np.sin(np.pi * (np.arange(length) + 0.5) / length) ** 2
    taken = np.eye(length) - 1 / length
    waves = np.exp(-2j * np.pi * np.outer(np.arange(first, last), np.arange(length)) / length) * taper @ taken
    lags = np.abs(np.subtract.outer(np.arange(length), np.arange(length)))
    bands = [np.einsum("ft,ts,fs->f", waves, line[lags], waves.conj()).real for line in autocovariance(length)]
    white = np.square(np.abs(waves)).sum(1)
    return taper, np.stack(bands, 1), white
