"""What tests of HeadGAN share: a face of few triangles, shards of drawn heads without MediaPipe, tiny recipes."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from visavis.data.shards import ClipRecord, Priors, ShardWriter
from visavis.face.types import MESH_POINTS
from visavis.training.data.windows import FaceShape

SOUND = 12

TINY = f"""
task = "headgan"
batch = 2
stride = 2
log_every = 1
checkpoint_every_s = 0.0
memory = "device"
mirrored = 0.5
perceptual = "none"
[data]
temporal_share = 0.5
[losses]
l1 = 0.0
perceptual = 0.0
warp_l1 = 0.0
warp_perceptual = 0.0
temporal = 0.0
pyramid = 10.0
gradient = 1.0
structure = 1.0
choice = 1.0
warp_pyramid = 1.0
[judges.picture]
width = 4
blocks = 2
network = "patch"
[judges.mouth]
width = 4
blocks = 2
network = "patch"
loss = "softplus"
feature_matching = 1.0
[model]
preset = "tiny"
sound = {SOUND}
"""

Floats = NDArray[np.float32]


def grid_face(side: int = 4) -> tuple[Floats, NDArray[np.int64]]:
    """Points of a bulging grid ``[side * side, 3]`` in [-1, 1], and its triangles, clockwise in the picture."""
    along = np.linspace(-0.6, 0.6, side, dtype=np.float32)
    x, y = np.meshgrid(along, along)
    points = np.stack([x, y, 0.5 * (x * x + y * y)], -1).reshape(-1, 3).astype(np.float32)
    at = np.arange(side * side).reshape(side, side)
    one, two, three, four = at[:-1, :-1], at[:-1, 1:], at[1:, :-1], at[1:, 1:]
    triangles = [np.stack([one, two, three], -1), np.stack([two, four, three], -1)]
    return points, np.concatenate([t.reshape(-1, 3) for t in triangles]).astype(np.int64)


def sphere_face() -> tuple[Floats, FaceShape]:
    """All 478 points on half a sphere, and the shape that draws the first 468 of them as triangles of neighbours."""
    rng = np.random.default_rng(0)
    flat = rng.uniform(-1, 1, (4 * MESH_POINTS, 2))
    flat = flat[np.linalg.norm(flat, axis=1) < 0.98][:MESH_POINTS]
    points = np.concatenate([flat, -np.sqrt(1 - (flat**2).sum(1))[:, None]], 1).astype(np.float32) * 0.6
    places = {}
    around = cv2.Subdiv2D((-1000, -1000, 2000, 2000))
    for number, (x, y) in enumerate(points[:468, :2] * 1000):
        around.insert((float(x), float(y)))
        places[round(float(x), 2), round(float(y), 2)] = number
    triangles = []
    for corners in around.getTriangleList():
        found = [places.get((round(float(x), 2), round(float(y), 2))) for x, y in corners.reshape(3, 2)]
        if None not in found:
            a, b, c = (points[i, :2] for i in found)  # type: ignore[index]
            turn = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
            triangles.append(found if turn > 0 else found[::-1])
    corners = np.array(triangles, np.int64)
    colours = ((points[corners].mean(1) + 0.6) / 1.2).astype(np.float32)
    eyes = np.zeros(len(corners), np.float32)

    def fitted(meshes: Floats) -> Floats:
        return np.ascontiguousarray(meshes[:, [*range(468), 468, 473]], np.float32)

    return points, FaceShape(corners, colours, eyes, fitted)


def turned(points: Floats, yaw: float, pitch: float) -> Floats:
    """Points turned about the vertical and the horizontal axis, in radians."""
    c, s, d, e = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    turn = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]) @ np.array([[1, 0, 0], [0, d, -e], [0, e, d]])
    return np.asarray(points @ turn.T, np.float32)


def head_record(name: str, split: str, frames: int, seed: int) -> tuple[ClipRecord, NDArray[np.uint8]]:
    """A clip of a ball with a mouth that turns, with priors that say how; and its frames."""
    points, shape = sphere_face()
    rng = np.random.default_rng(seed)
    skin = rng.integers(80, 220, 3)
    pictures, meshes = [], []
    for frame in range(frames):
        mesh = turned(points, 0.5 * np.sin(frame / 3 + seed), 0.2 * np.cos(frame / 4))
        pixels = np.full((64, 64, 3), 30, np.uint8)
        for corners, colour in zip(shape.triangles, shape.colours, strict=True):
            flat = np.rint((mesh[corners, :2] + 1) * 32 * 16).astype(np.int32)
            a, b, c = flat
            if (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]) > 0:
                shade = (0.5 * skin + 120 * colour).clip(0, 255).tolist()
                cv2.fillConvexPoly(pixels, flat, shade, shift=4)
        pictures.append(pixels)
        meshes.append(mesh)
    masks = np.zeros((frames, 64, 64), np.uint8)
    masks[:, 12:52, 12:52] = 255
    priors = Priors(np.ones(frames, bool), np.stack(meshes).astype(np.float32), masks, None)
    info = {"split": split, "identity": name, "frames": frames, "seconds": frames / 25, "frames_without_face": 0}
    return ClipRecord(name, b"", priors.encode(), {**info, "sound_is_speech": True}), np.stack(pictures)


def write_heads(folder: Path, frames: int = 12, flac: bytes | None = None) -> None:
    """Shards of three heads, one of them for validation; all with the same sound, or without any."""
    folder.mkdir(parents=True, exist_ok=True)
    with ShardWriter(folder, 1 << 30, lambda names: None) as writer:
        for number, split in enumerate(("train", "train", "val")):
            record, pictures = head_record(f"head{number}", split, frames, number)
            path = folder / f"{record.name}.mp4"
            video = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 25, (64, 64))  # type: ignore[attr-defined]
            for pixels in pictures:
                video.write(pixels[..., ::-1])
            video.release()
            writer.add(ClipRecord(record.name, path.read_bytes(), record.priors, record.info, flac))
            path.unlink()


def seeded(*shape: int, seed: int = 0) -> torch.Tensor:
    """Uniform noise in [0, 1]."""
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))
