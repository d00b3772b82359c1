"""Measure a face network on people it has not seen: the figures of its model card, as JSON.

python tools/measure_face_network.py SHARDS [WEIGHTS]
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from visavis.face.morphable import LinearFaceModel
from visavis.generators.avfr.generator import AvfrGenerator
from visavis.judges.face_network import MESH_POINTS, FaceNetwork, load_face_network
from visavis.judges.perceptual import FaceDistance
from visavis.nn.engine import PLAIN
from visavis.pipelines.load import load_generator
from visavis.training.data.damage import damage, warp
from visavis.training.data.dataset import Clip, Pairs, load_clips
from visavis.training.data.faces import face_mask

STRIDE = 25
CHUNK = 16
Distort = Callable[[NDArray[np.float32], float], NDArray[np.float32]]


def blur(picture: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Gaussian, sigma in pixels."""
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma), np.float32)


def noise(picture: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """The same pattern at every strength."""
    drawn = np.random.default_rng(0).standard_normal(picture.shape, dtype=np.float32)
    return np.asarray(np.clip(picture + np.float32(sigma) * drawn, 0, 1), np.float32)


def bend(picture: NDArray[np.float32], reach: float) -> NDArray[np.float32]:
    """The same bend at every strength, reach as a share of the side."""
    return warp(picture, np.random.default_rng(1), reach)


def jpeg(picture: NDArray[np.float32], loss: float) -> NDArray[np.float32]:
    """JPEG of quality 100 - loss."""
    pixels = np.rint(picture[..., ::-1] * 255).astype(np.uint8)
    _, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, int(100 - loss)])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1], np.float32) / np.float32(255)


LADDERS: dict[str, tuple[Distort, tuple[float, ...]]] = {
    "blur": (blur, (0.5, 1, 2, 3, 4)),
    "noise": (noise, (0.01, 0.02, 0.05, 0.1, 0.2)),
    "warp": (bend, (0.005, 0.01, 0.02, 0.04, 0.08)),
    "jpeg": (jpeg, (20, 50, 70, 85, 95)),
}


def tensor(pictures: list[NDArray[np.float32]] | NDArray[np.float32]) -> Tensor:
    """``[B, 3, S, S]`` of pictures ``[S, S, 3]``."""
    return torch.from_numpy(np.stack(list(pictures)).transpose(0, 3, 1, 2).copy())


def faces_alone(clips: list[Clip]) -> Tensor:
    """All pictures with grey in place of hair, clothes and background, which tell clips apart on their own."""
    found = []
    for clip in clips:
        for pixels, mesh in zip(clip.pictures, clip.mesh, strict=True):
            mask = face_mask(mesh, pixels.shape[0])[..., None]
            found.append(mask * (pixels.astype(np.float32) / 255) + (1 - mask) * np.float32(0.5))
    return tensor(found)


def frames(clips: list[Clip]) -> tuple[Tensor, Tensor, Tensor]:
    """All pictures, meshes and segmentations of the clips, in one row."""
    pictures = np.concatenate([clip.pictures for clip in clips]).astype(np.float32) / 255
    mesh = np.concatenate([clip.mesh[:, :MESH_POINTS, :2] for clip in clips])
    masks = np.concatenate([clip.segmentation for clip in clips]).astype(np.float32) / 255
    return tensor(pictures), torch.from_numpy(mesh), torch.from_numpy(masks)


def labels(network: FaceNetwork, clips: list[Clip]) -> dict[str, float]:
    """Mesh error in pixels of 256, beside that of the mean mesh, and IoU of the person."""
    pictures, mesh, masks = frames(clips)
    reading = network(pictures)
    masks = F.interpolate(masks[:, None], reading.segmentation.shape[1:], mode="area")[:, 0] > 0.5
    said = reading.segmentation > 0
    iou = (said & masks).sum((1, 2)) / (said | masks).sum((1, 2)).clamp(min=1)
    return {
        "mesh_px": float((reading.mesh - mesh).norm(dim=-1).mean()) * 128,
        "mean_mesh_px": float((mesh.mean(0) - mesh).norm(dim=-1).mean()) * 128,
        "segmentation_iou": float(iou.mean()),
    }


def damage_auc(network: FaceNetwork, clips: list[Clip]) -> float:
    """How surely a damaged place looks more damaged than a whole one, over all places of all pictures.

    The damage is of the kinds that the network was trained on; people and places are new.
    """
    rng = np.random.default_rng(0)
    said, real = [], []
    for clip in clips:
        pictures = [
            cv2.resize(p, (128, 128), interpolation=cv2.INTER_AREA).astype(np.float32) / 255 for p in clip.pictures
        ]
        spoilt = [damage(picture, other, rng) for picture, other in zip(pictures, pictures[::-1], strict=True)]
        said.append(network(tensor([picture for picture, _ in spoilt])).damage)
        real.append(F.avg_pool2d(torch.from_numpy(np.stack([place for _, place in spoilt]))[:, None], 4)[:, 0])
    scores, places = torch.cat(said), torch.cat(real)
    return auc(scores[places > 0.5].numpy(), scores[places == 0].numpy())


def auc(right: NDArray[np.float32], wrong: NDArray[np.float32]) -> float:
    """Share of pairs in which the right one scores higher; ties count half."""
    wrong = np.sort(wrong)
    below = np.searchsorted(wrong, right) + np.searchsorted(wrong, right, side="right")
    return float(below.mean() / (2 * len(wrong)))


def verification(codes: Tensor, clips: list[Clip]) -> dict[str, dict[str, float]]:
    """AUC and equal error rate of telling pairs of one person from pairs of two, by cosine.

    Positives are of one clip, at least two seconds apart, or of two clips.
    """
    person = np.concatenate([[clip.identity] * len(clip.pictures) for clip in clips])
    clip_of = np.concatenate([[i] * len(clip.pictures) for i, clip in enumerate(clips)])
    time = np.concatenate([np.arange(len(clip.pictures)) for clip in clips])
    a, b = np.triu_indices(len(person), 1)
    score = (codes @ codes.T).numpy()[a, b]
    same, one_clip = person[a] == person[b], clip_of[a] == clip_of[b]
    far = np.abs(time[a] - time[b]) >= 2  # of one frame a second
    found = {}
    for name, positive in (("one_clip", same & one_clip & far), ("two_clips", same & ~one_clip)):
        right, wrong = np.sort(score[positive]), np.sort(score[~same])
        missed = np.arange(len(right)) / len(right)
        let_in = 1 - np.searchsorted(wrong, right) / len(wrong)
        at = int(np.argmin(np.abs(missed - let_in)))
        found[name] = {
            "auc": auc(right, wrong),
            "eer": float((missed[at] + let_in[at]) / 2),
            "pairs": len(right),
            "other_pairs": len(wrong),
        }
    return found


def thumbnails(pictures: Tensor) -> Tensor:
    """What needs no network to tell clips apart: 8x8 pictures, centred, of unit length."""
    small = F.adaptive_avg_pool2d(pictures, 8).flatten(1)
    return F.normalize(small - small.mean(0), dim=1)


def frechet(a: Tensor, b: Tensor) -> float:
    """Frechet distance of the Gaussians that fit two sets of embeddings ``[N, D]``."""
    cov_a, cov_b = a.double().T.cov(), b.double().T.cov()
    root = torch.linalg.eigvals(cov_a @ cov_b).real.clamp(min=0).sqrt().sum()
    return float((a.double().mean(0) - b.double().mean(0)).square().sum() + cov_a.trace() + cov_b.trace() - 2 * root)


def ladders(distance: FaceDistance, clips: list[Clip]) -> dict[str, Any]:
    """At each strength the mean distance and the embeddings' Frechet distance to the real pictures.

    Also the share of pictures whose distance rises at every step.
    """
    pictures = [pixels.astype(np.float32) / 255 for clip in clips for pixels in clip.pictures]
    chunks = [pictures[i : i + CHUNK] for i in range(0, len(pictures), CHUNK)]
    wanted = [distance.features(tensor(chunk)) for chunk in chunks]
    codes = torch.cat([distance.network.embedding(tensor(chunk)) for chunk in chunks])
    found = {}
    for name, (distort, strengths) in LADDERS.items():
        rows, frechets = [], []
        for strength in strengths:
            made = [tensor([distort(picture, strength) for picture in chunk]) for chunk in chunks]
            pairs = zip(made, wanted, strict=True)
            rows.append(torch.cat([distance.compare(distance.features(x), real) for x, real in pairs]))
            frechets.append(frechet(torch.cat([distance.network.embedding(x) for x in made]), codes))
        table = torch.stack(rows)
        found[name] = {
            "strengths": list(strengths),
            "distances": [round(float(d), 4) for d in table.mean(1)],
            "frechet": [round(f, 5) for f in frechets],
            "rising": float((table.diff(dim=0) > 0).all(0).float().mean()),
        }
    return found


def generated(distance: FaceDistance, clips: list[Clip]) -> dict[str, Any]:
    """A model's pictures beside the truth and the source repeated: distance, and how much looks tampered with."""
    generator = load_generator("avfr-256", PLAIN)
    assert isinstance(generator, AvfrGenerator)
    network = generator.network
    face_model = LinearFaceModel(network.mesh_model.mean.numpy(), network.mesh_model.basis.numpy())
    batch = Pairs(clips, face_model, size=256, jitter=0.0, seed=5).batch(0, 48)
    made = []
    for i in range(0, 48, 8):
        part = type(batch)(*[value[i : i + 8] for value in vars(batch).values()])
        source = network.detect(part.source, part.source_prior, part.source_mesh)
        driving = network.detect(part.driving, part.driving_prior, part.driving_mesh)
        still = network.encode(part.source, source, part.source_prior)
        made.append(network.render(still, driving, part.driving_prior[:, :1], part.mel).picture)
    rows = {"truth": batch.driving, "avfr-256": torch.cat(made), "copy": batch.source}
    rows["truth, blur 1 px"] = tensor([blur(p, 1) for p in batch.driving.permute(0, 2, 3, 1).numpy()])
    return {
        name: {
            "distance": round(float(distance(picture, batch.driving).mean()), 4),
            "damaged": round(float(distance.network(picture).damage.sigmoid().mean()), 4),
        }
        for name, picture in rows.items()
    }


@torch.no_grad()
def main(shards: str, weights: str | None = None) -> None:
    """Print the figures."""
    network = load_face_network(Path(weights) if weights else None)
    clips = load_clips(Path(shards), "val", STRIDE)
    shown = {"whole": frames(clips)[0], "face_alone": faces_alone(clips)}
    print(
        json.dumps(
            {
                "frames": len(shown["whole"]),
                "labels": labels(network, clips) | {"damage_auc": damage_auc(network, clips)},
                "verification": {k: verification(network.embedding(x), clips) for k, x in shown.items()},
                "verification_by_thumbnails": {k: verification(thumbnails(x), clips) for k, x in shown.items()},
                "ladders": ladders(FaceDistance(network), clips),
                "generated": generated(FaceDistance(network), clips),
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
