"""The face network as something to learn: mesh, person, damage and identity from single pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from typing_extensions import Self

from visavis.face.mesh import to_pixels
from visavis.judges.face_network import FAMILY, FaceConfig, FaceNetwork, FaceReading
from visavis.training.config import TrainConfig
from visavis.training.data.dataset import load_clips
from visavis.training.data.faces import FaceBatch, Faces
from visavis.training.face_losses import FaceLossWeights, face_losses
from visavis.training.task import Outcome
from visavis.training.tasks.single import SingleNetwork

_SHEET_PICTURES = 8
_SHEET_CLIPS = 8


class FaceTask(SingleNetwork):
    """Learns a face network with a head for the people in the data; the shape's ``identities`` is theirs.

    Args:
        config: settings of the run.
        faces: where batches come from.
        shown: the batch of validation pictures that sheets show.
    """

    family = FAMILY
    model_class = FaceConfig
    losses_class = FaceLossWeights
    of_data = ("identities",)
    network: FaceNetwork
    presets: ClassVar[Mapping[str, Callable[[], Any]]] = {"face128": FaceConfig, "tiny": FaceConfig.tiny}

    def __init__(self, config: TrainConfig, faces: Faces, shown: FaceBatch) -> None:
        super().__init__(replace(config, model=config.model.with_identities(len(faces.people))), FaceNetwork)
        self.faces, self.shown = faces, shown
        with torch.no_grad():
            self.network.mesh_points.bias.copy_(torch.from_numpy(faces.mean_mesh).flatten())

    @classmethod
    def start(cls, config: TrainConfig, data: Path, stored: Mapping[str, Tensor], say: Callable[[str], None]) -> Self:
        """Decode the clips into memory and build the network."""
        clips = load_clips(data, config.split, config.stride)
        faces = Faces(clips, size=config.model.size, seed=config.seed)
        say(f"{sum(len(clip.pictures) for clip in clips)} frames of {len(faces.people)} people in memory")
        unseen = load_clips(data, "val", 5 * config.stride, most=_SHEET_CLIPS, needed=False) or clips[:_SHEET_CLIPS]
        return cls(config, faces, Faces(unseen, size=config.model.size).batch(0, _SHEET_PICTURES))

    def batch(self, step: int, count: int) -> FaceBatch:
        """Batch number ``step`` of ``count`` pictures."""
        return self.faces.batch(step, count)

    def losses(self, batch: FaceBatch, step: int) -> Outcome:
        """The four losses; nothing in them is random."""
        picture = batch.picture.contiguous(memory_format=torch.channels_last)
        return Outcome(face_losses(self.network(picture), batch, self.network.identities, self.config.losses))

    def meta(self) -> Mapping[str, Any]:
        """How many people it has seen."""
        return {"people": len(self.faces.people)}

    @torch.no_grad()
    def sheet(self, network: nn.Module) -> NDArray[np.uint8] | None:
        """Mesh in green, person in blue, damage in red: above as they are, below as ``network`` says."""
        assert isinstance(network, FaceNetwork)
        said: FaceReading = network(self.shown.picture.to(next(network.parameters()).device))
        shown = self.shown
        real = zip(shown.picture, shown.mesh, shown.segmentation, shown.damage, strict=True)
        made = zip(
            shown.picture, said.mesh.cpu(), said.segmentation.sigmoid().cpu(), said.damage.sigmoid().cpu(), strict=True
        )
        return np.concatenate([np.concatenate([_painted(*row) for row in rows], 1) for rows in (real, made)])


def _painted(picture: Tensor, mesh: Tensor, person: Tensor, damage: Tensor) -> NDArray[np.uint8]:
    pixels = np.ascontiguousarray(picture.permute(1, 2, 0).numpy()) / 2
    side = pixels.shape[0]
    for channel, mask in ((0, damage), (2, person)):
        pixels[..., channel] += cv2.resize(mask.float().numpy(), (side, side)) / 2
    for x, y in np.rint(to_pixels(mesh.numpy(), side)).astype(int)[::4]:
        if 0 <= x < side and 0 <= y < side:
            pixels[y, x] = (0, 1, 0)
    return np.asarray(np.rint(pixels * 255), np.uint8)
