"""What the face network learns from one batch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from visavis.face.mesh import LEFT_EYE, LIPS, RIGHT_EYE
from visavis.judges.face_network import MESH_POINTS, FaceReading
from visavis.training.data.faces import FaceBatch

#: Damaged places are few.
_DAMAGE_FACTOR = 4.0
#: Lips and lids move on their own and are few among 468 points.
_MOVING = 3.0


@dataclass(frozen=True)
class FaceLossWeights:
    """How much each loss of the face network counts; 0 switches it off.

    Attributes:
        mesh: L1 of the mesh points, lips and lids threefold.
        segmentation, damage: cross entropy of the person, and of the places that were tampered with.
        identity: cross entropy over the training people, with the margin below (CosFace, Wang et al. 2018).
        scale, margin: of the cosines in the identity loss.
    """

    mesh: float = 20.0
    segmentation: float = 1.0
    damage: float = 1.0
    identity: float = 1.0
    scale: float = 20.0
    margin: float = 0.1


def face_losses(reading: FaceReading, batch: FaceBatch, people: Tensor, weights: FaceLossWeights) -> dict[str, Tensor]:
    """Weighted losses by name; ``people [N, D]`` are the directions of the training people."""
    with torch.autocast(people.device.type, enabled=False):
        moving = torch.ones(MESH_POINTS, 1, device=people.device)
        moving[list(LIPS + LEFT_EYE + RIGHT_EYE)] = _MOVING
        cosines = reading.embedding @ F.normalize(people.float(), dim=1).T
        cosines = cosines - weights.margin * F.one_hot(batch.identity, len(people))
        often = torch.tensor(_DAMAGE_FACTOR, device=people.device)
        cross_entropy = F.binary_cross_entropy_with_logits
        return {
            "mesh": weights.mesh * ((reading.mesh - batch.mesh).abs() * moving).mean() / moving.mean(),
            "segmentation": weights.segmentation * cross_entropy(reading.segmentation, batch.segmentation),
            "damage": weights.damage * cross_entropy(reading.damage, batch.damage, pos_weight=often),
            "identity": weights.identity * F.cross_entropy(weights.scale * cosines, batch.identity),
        }
