"""A small network that hears whether lips and sound belong together.

Two streams end in unit vectors, one for every short window, as in SyncNet (Chung & Zisserman 2016); vectors of the
same moment lie close. It differs in what it sees: besides the small grey mouth, the shape of the lips by the face
mesh, which lets it learn from minutes of speech instead of hundreds of hours.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visavis.audio.mel import MEL_BANDS
from visavis.core.config import check_ranges
from visavis.nn.cost import gmac

_FRAMES = 5


@dataclass(frozen=True)
class MouthSyncConfig:
    """Shape of a :class:`MouthSync`.

    Attributes:
        width: channels of the first convolutions; doubled twice on the way.
        embedding: length of the vectors that are compared.
        context: a window reaches so many frames beyond its inner five, to either side.
        shape_values: numbers of a mouth's shape a frame.
        dropout: of the features of either stream before they are joined.
    """

    width: int = 24
    embedding: int = 96
    context: int = 2
    shape_values: int = 110
    dropout: float = 0.2

    def __post_init__(self) -> None:
        widths = {"width": (1, 512), "embedding": (1, 4096), "shape_values": (1, 4096)}
        check_ranges(self, {**widths, "context": (0, 50), "dropout": (0, 1)})

    @property
    def window(self) -> int:
        """Frames of a window."""
        return _FRAMES + 2 * self.context

    @classmethod
    def tiny(cls) -> MouthSyncConfig:
        """The smallest, for tests."""
        return cls(width=4, embedding=16, context=1, dropout=0.0)


class MouthSync(nn.Module):
    """Vectors of mouths and of sound that can be compared.

    Convention:
        T frames give ``W = T - window + 1`` windows; window w is frames w to ``w + window - 1`` in both streams.
    """

    def __init__(self, config: MouthSyncConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.picture = nn.Sequential(
            _conv(_FRAMES, width),
            _conv(width, 2 * width),
            _conv(2 * width, 4 * width),
            _conv(4 * width, 4 * width),
            nn.Flatten(),
            nn.Linear(4 * width * 2 * 3, 4 * width),
        )
        self.shape = nn.Sequential(
            nn.BatchNorm1d(config.shape_values),
            nn.Conv1d(config.shape_values, 4 * width, 3),
            nn.BatchNorm1d(4 * width),
            nn.ReLU(),
            nn.Conv1d(4 * width, 4 * width, 3),
        )
        self.mouth = _head(8 * width, config)
        # Receptive field 20 steps, stride 4: exactly the window of a frame.
        self.hear = nn.Sequential(
            _heard(1, width, (5, 5), (2, 1)),
            _heard(width, 2 * width, (3, 4), (2, 2)),
            _heard(2 * width, 4 * width, (3, 3), (2, 2)),
            _heard(4 * width, 4 * width, (3, 3), (2, 1)),
            nn.Flatten(1, 2),
        )
        self.sound = _head(4 * width * 5, config)
        self.log_scale = nn.Parameter(torch.tensor(2.3))

    def gmac(self) -> dict[str, dict[str, float]]:
        """1e9 multiply-accumulates of a window, by part."""
        frames = self.config.window
        crops, shapes = torch.rand(1, frames, 32, 48), torch.rand(1, frames, self.config.shape_values)
        mel = torch.rand(1, MEL_BANDS, 4 * frames + 16)
        parts = {"mouth": gmac(lambda: self.see(crops, shapes)), "sound": gmac(lambda: self.listen(mel))}
        return {"per_window": parts}

    def see(self, crops: Tensor, shapes: Tensor, keep: Tensor | None = None) -> Tensor:
        """Return unit vectors of the mouths, ``[B, W, E]``.

        Args:
            crops: ``float32 [B, T, 32, 48]``, grey in [0, 1].
            shapes: ``float32 [B, T, shape_values]``; their mean over T is taken off, since it tells who, not what.
            keep: ``[B, 2]``, 0 hides the pictures or the shapes of a clip, in training.
        """
        grey = (crops - crops.mean((1, 2, 3), keepdim=True)) / (crops.std((1, 2, 3), keepdim=True) + 1e-3)
        fives = grey.unfold(1, _FRAMES, 1).permute(0, 1, 4, 2, 3)
        seen = self.picture(fives.flatten(0, 1)).view(*fives.shape[:2], -1).transpose(1, 2)
        shaped = self.shape((shapes - shapes.mean(1, keepdim=True)).transpose(1, 2))
        if keep is not None:
            seen, shaped = seen * keep[:, :1, None], shaped * keep[:, 1:, None]
        return _unit(self.mouth(torch.cat([seen, shaped], 1)))

    def listen(self, mel: Tensor) -> Tensor:
        """Return unit vectors of the sound, ``[B, W, E]``, of a mel ``float32 [B, 80, 4 T + 16]`` in [0, 1]."""
        return _unit(self.sound(self.hear(mel[:, None])[..., _FRAMES // 2 : -(_FRAMES // 2)]))


def _unit(x: Tensor) -> Tensor:
    """``[B, E, W]`` to unit vectors ``[B, W, E]``."""
    return F.normalize(x.transpose(1, 2).float(), dim=2)


def _conv(inside: int, outside: int) -> nn.Sequential:
    conv = nn.Conv2d(inside, outside, 3, stride=2, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outside), nn.ReLU())


def _heard(inside: int, outside: int, kernel: tuple[int, int], stride: tuple[int, int]) -> nn.Sequential:
    """Half the bands; no padding in time, so that a window hears nothing but its own sound."""
    conv = nn.Conv2d(inside, outside, kernel, stride, padding=(kernel[0] // 2, 0), bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outside), nn.ReLU())


def _head(inside: int, config: MouthSyncConfig) -> nn.Sequential:
    """Join the features of a window's frames into one vector."""
    hidden = 8 * config.width
    return nn.Sequential(
        nn.ReLU(),
        nn.Dropout(config.dropout),
        nn.Conv1d(inside, hidden, 1 + 2 * config.context),
        nn.ReLU(),
        nn.Conv1d(hidden, config.embedding, 1),
    )
