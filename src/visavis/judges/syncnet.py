"""SyncNet as published (Chung & Zisserman, 'Out of time: automated lip sync in the wild', 2016).

Names of parameters are those of the authors' public weights ``syncnet_v2.model``, which are not part of this package.
Both streams end in 1024 numbers for every 0.2 s: five frames of a face, and twenty steps of MFCC.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

FRAMES = 5
SIDE = 224
CEPSTRA = 13
STEPS = 20
STEPS_A_FRAME = 4
EMBEDDING = 1024
REACH = 15  # frames that sound is shifted by, to either side

Size = tuple[int, ...]


class SyncNet(nn.Module):
    """The two streams, each fully convolutional up to its last layers."""

    def __init__(self) -> None:
        super().__init__()
        self.netcnnaud = nn.Sequential(
            *_heard(1, 64, (3, 3), (1, 1)),
            nn.MaxPool2d((1, 1), (1, 1)),  # does nothing, but the numbering of the published weights counts it
            *_heard(64, 192, (3, 3), (1, 1)),
            nn.MaxPool2d((3, 3), (1, 2)),
            *_heard(192, 384, (3, 3), (1, 1)),
            *_heard(384, 256, (3, 3), (1, 1)),
            *_heard(256, 256, (3, 3), (1, 1)),
            nn.MaxPool2d((3, 3), (2, 2)),
            *_heard(256, 512, (5, 4), (0, 0)),
        )
        self.netfcaud = _embed()
        self.netcnnlip = nn.Sequential(
            *_seen(3, 96, (FRAMES, 7, 7), (1, 2, 2), (0, 0, 0)),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2)),
            *_seen(96, 256, (1, 5, 5), (1, 2, 2), (0, 1, 1)),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
            *_seen(256, 256, (1, 3, 3), (1, 1, 1), (0, 1, 1)),
            *_seen(256, 256, (1, 3, 3), (1, 1, 1), (0, 1, 1)),
            *_seen(256, 256, (1, 3, 3), (1, 1, 1), (0, 1, 1)),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2)),
            *_seen(256, 512, (1, 6, 6), (1, 1, 1), (0, 0, 0)),
        )
        self.netfclip = _embed()

    def see(self, faces: Tensor) -> Tensor:
        """Embed every five consecutive frames.

        Args:
            faces: ``float32 [3, T, 224, 224]``, BGR in 0 to 255 as the weights were trained with; T is 5 or more.

        Returns:
            ``[T - 4, 1024]``, window w starting at frame w.
        """
        return self.netfclip(self.netcnnlip(faces[None])[0].flatten(1).T)  # type: ignore[no-any-return]

    def listen(self, mfcc: Tensor) -> Tensor:
        """Embed the sound of windows ``[N, 1, 13, 20]`` of MFCC; returns ``[N, 1024]``."""
        return self.netfcaud(self.netcnnaud(mfcc).flatten(1))  # type: ignore[no-any-return]


def sound_windows(mfcc: Tensor) -> Tensor:
    """Cut MFCC ``[13, M]`` at 100 Hz into ``[N, 1, 13, 20]``, window w starting with frame w at 25 fps."""
    return mfcc.unfold(1, STEPS, STEPS_A_FRAME).transpose(0, 1)[:, None]


def _heard(inside: int, outside: int, kernel: Size, padding: Size) -> tuple[nn.Module, ...]:
    conv = nn.Conv2d(inside, outside, kernel, padding=padding)  # type: ignore[arg-type]
    return conv, nn.BatchNorm2d(outside), nn.ReLU()


def _seen(inside: int, outside: int, kernel: Size, stride: Size, padding: Size) -> tuple[nn.Module, ...]:
    conv = nn.Conv3d(inside, outside, kernel, stride, padding)  # type: ignore[arg-type]
    return conv, nn.BatchNorm3d(outside), nn.ReLU()


def _embed() -> nn.Sequential:
    return nn.Sequential(nn.Linear(512, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Linear(512, EMBEDDING))


@torch.inference_mode()
def embed(network: SyncNet, faces: Tensor, mfcc: Tensor, chunk: int = 20) -> tuple[Tensor, Tensor]:
    """Embed a clip in pieces, so that memory does not grow with its length.

    Args:
        network: with its weights, in eval mode.
        faces: ``uint8 [3, T, 224, 224]``, BGR.
        mfcc: ``float32 [13, M]``.
        chunk: windows at a time.

    Returns:
        Mouths and sounds, each ``[W, 1024]``, of the W windows that both have.
    """
    sound = sound_windows(mfcc)
    count = min(faces.shape[1] - FRAMES + 1, len(sound))
    starts = range(0, count, chunk)
    mouths = [network.see(faces[:, i : min(i + chunk, count) + FRAMES - 1].float()) for i in starts]
    sounds = [network.listen(sound[i : min(i + chunk, count)]) for i in starts]
    return torch.cat(mouths), torch.cat(sounds)


def offset_distances(mouths: Tensor, sounds: Tensor, *, zeros: bool) -> Tensor:
    """Return the mean distance of mouth w and sound ``w - offset`` for the offsets -15 to 15, ``float64 [31]``.

    Args:
        mouths, sounds: ``[W, E]``, W > 15.
        zeros: whether a mouth meets a vector of zeros where the shifted sound has ended, as in the authors' program;
            else such pairs are left out.
    """
    count = len(mouths)
    padded = nn.functional.pad(sounds, (0, 0, REACH, REACH))
    means = []
    for offset in range(-REACH, REACH + 1):
        apart = (mouths - padded[REACH - offset : REACH - offset + count]).double().norm(dim=1)
        met = apart if zeros else apart[max(0, offset) : count + min(0, offset)]
        means.append(met.mean())
    return torch.stack(means)
