"""The two networks that judge lip sync, fed from the same pictures, face meshes and sound."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from visavis.audio.mel import RATE_HZ, WINDOW_SAMPLES, log_mel
from visavis.audio.mfcc import mfcc
from visavis.face.mouth import mouth_crop, mouth_shape
from visavis.judges.mouth_sync import MouthSync, MouthSyncConfig
from visavis.judges.syncnet import SIDE, SyncNet, embed
from visavis.weights.checkpoint import Checkpoint, is_checkpoint, load_into
from visavis.weights.convert_syncnet import read_syncnet
from visavis.weights.network import load_network

OWN_FAMILY = "sync"
_SAMPLES_A_FRAME = RATE_HZ // 25
# The authors' face tracks: a box around the face, 0.4 of its half side wider on every side and moved down by as much.
_WIDER = 0.4

Pictures = NDArray[np.uint8]
Points = NDArray[np.float32]
Samples = NDArray[np.float32]


class SyncEmbedder(Protocol):
    """A network of two streams.

    Attributes:
        name: what its scores are called in reports.
        meets_zeros: how :func:`visavis.judges.syncnet.offset_distances` treats the clip's ends.
    """

    name: str
    meets_zeros: bool

    def embed(self, pictures: Pictures, mouths: Points, sound: Samples) -> tuple[Tensor, Tensor]:
        """Return the vectors of mouths and of sound, ``[W, E]`` each, of the same moments."""


class PublishedSyncNet:
    """SyncNet with the authors' weights, from a file of the user's own.

    The face box is that of the mesh, not of the authors' face detector, so that numbers differ a little from theirs.

    Args:
        path: ``syncnet_v2.model``, or its table as safetensors.

    Raises:
        WeightsError: no such file, damaged, or not SyncNet's tensors.
    """

    name = "syncnet"
    meets_zeros = True

    def __init__(self, path: Path) -> None:
        self._network = SyncNet()
        load_into(self._network, Checkpoint("syncnet", {}, {}, read_syncnet(path)), path)
        self._network.eval()

    def embed(self, pictures: Pictures, mouths: Points, sound: Samples) -> tuple[Tensor, Tensor]:
        """See :class:`SyncEmbedder`."""
        faces = np.stack([face_crop(*frame) for frame in zip(pictures, mouths, strict=True)])
        blue_first = np.ascontiguousarray(faces[..., ::-1].transpose(3, 0, 1, 2))
        return embed(self._network, torch.from_numpy(blue_first), torch.from_numpy(mfcc(sound)))


def face_crop(picture: Pictures, points: Points) -> Pictures:
    """Cut a face ``uint8 [224, 224, 3]`` as SyncNet was shown them; grey stands for what lies outside the picture."""
    low, high = points[:468, :2].min(0), points[:468, :2].max(0)
    half = float((high - low).max()) / 2
    middle = (low + high) / 2
    side = 2 * half * (1 + _WIDER)
    left, top = middle[0] - side / 2, middle[1] - half
    scale = SIDE / side
    matrix = np.array([[scale, 0, (0.5 - left) * scale - 0.5], [0, scale, (0.5 - top) * scale - 0.5]])
    return np.asarray(cv2.warpAffine(picture, matrix, (SIDE, SIDE), borderValue=(110, 110, 110)), np.uint8)


class OwnSync:
    """The network that is trained here.

    Args:
        path: a checkpoint of family ``sync``.

    Raises:
        WeightsError: no such file, damaged, or of another family.
    """

    meets_zeros = False

    def __init__(self, path: Path) -> None:
        self._network = load_network(path, OWN_FAMILY, MouthSyncConfig, MouthSync)
        self.name = path.stem

    @torch.inference_mode()
    def embed(self, pictures: Pictures, mouths: Points, sound: Samples) -> tuple[Tensor, Tensor]:
        """See :class:`SyncEmbedder`."""
        crops = np.stack([mouth_crop(*frame) for frame in zip(pictures, mouths, strict=True)])
        shapes = np.stack([mouth_shape(points) for points in mouths])
        seen = self._network.see(torch.from_numpy(crops)[None].float() / 255, torch.from_numpy(shapes)[None])
        heard = self._network.listen(torch.from_numpy(mel_of(sound, len(pictures)))[None])
        return seen[0], heard[0]


def mel_of(sound: Samples, frames: int) -> NDArray[np.float32]:
    """Return ``float32 [80, 4 T + 16]``: columns ``4 k`` to ``4 k + 19`` are the window of frame k."""
    samples = np.zeros((frames - 1) * _SAMPLES_A_FRAME + WINDOW_SAMPLES, np.float32)
    lead = WINDOW_SAMPLES // 2
    kept = sound[: len(samples) - lead]
    samples[lead : lead + len(kept)] = kept
    return log_mel(samples)


def load_embedder(path: Path) -> SyncEmbedder:
    """Load whichever of the two networks a file holds."""
    return OwnSync(path) if is_checkpoint(path) else PublishedSyncNet(path)
