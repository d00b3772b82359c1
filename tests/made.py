"""What tests make for themselves: a drawn person, clips and shards, tiny weights, and files that are bad on purpose."""

from __future__ import annotations

import pickle
import struct
import sys
import tarfile
import zlib
from collections.abc import Sequence
from dataclasses import asdict, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from visavis.cli.main import main
from visavis.data.shards import ClipRecord, Priors, append
from visavis.drawn.synthetic import TalkingFace, draw, write_clip, write_wave
from visavis.face.mesh import LIPS_INNER
from visavis.face.types import MESH_POINTS
from visavis.generators.avfr.config import AvfrConfig
from visavis.generators.avfr.generator import AvfrGenerator
from visavis.generators.headgan.config import HeadganConfig
from visavis.generators.headgan.generator import HeadganGenerator
from visavis.generators.keypoint import FirstOrderModel, KeypointConfig
from visavis.media.still import write_picture
from visavis.weights.checkpoint import save

FRAMES = 6
FPS = Fraction(25)


def tiny_weights(path: Path) -> Path:
    """Write untrained weights of the smallest AVFR network."""
    torch.manual_seed(0)
    generator = AvfrGenerator(AvfrConfig.tiny())
    generator.network.mesh_model.mean.copy_(torch.from_numpy(tiny_mesh()))
    save(path, generator.network.state_dict(), family="avfr", config=generator.plain_config, meta={"licence": "test"})
    return path


def tiny_heads(path: Path) -> Path:
    """Write untrained weights of a very small HeadGAN, which hears what the packaged one does."""
    torch.manual_seed(0)
    generator = HeadganGenerator(replace(HeadganConfig.tiny(), sound=300))
    config = generator.plain_config
    save(path, generator.network.state_dict(), family="headgan", config=config, meta={"licence": "test"})
    return path


def tiny_mesh() -> NDArray[np.float32]:
    """Points spread evenly over a sphere (a golden spiral): an untrained network needs some face to warp."""
    at = (np.arange(MESH_POINTS) + 0.5) / MESH_POINTS
    height, turn = 1 - 2 * at, np.pi * (1 + 5**0.5) * np.arange(MESH_POINTS)
    width = np.sqrt(1 - height * height)
    return np.asarray(np.stack([width * np.cos(turn), height, width * np.sin(turn)], 1), np.float32)


def talking_mesh(opening: float) -> NDArray[np.float32]:
    """A mesh in pixels of a 256 square whose lower inner lip hangs down by ``opening`` of the face's height."""
    mesh = tiny_mesh() * 60 + 128
    for index in LIPS_INNER[10:]:
        mesh[index, 1] += 40 * opening
    return mesh.astype(np.float32)


def drawn_speech(seed: int, frames: int) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32]]:
    """A drawn clip with an invented mesh, and its voice."""
    face = TalkingFace(seed, 128)
    pictures = np.stack([frame.pixels for frame in face.frames(frames)])
    loud = face.loudness(np.arange(frames) / 25)
    mouths = np.stack([talking_mesh(float(value))[:, :2] / 2 for value in loud])
    return pictures, mouths, face.sound(frames / 25).samples


def good_inputs(folder: Path) -> None:
    """Write ``portrait.png``, ``driving.mp4`` with sound, ``voice.wav`` and ``tiny.safetensors``."""
    write_picture(folder / "portrait.png", draw(256, seed=0))
    write_clip(folder / "driving.mp4", float(FRAMES / FPS), seed=1, size=256, fps=FPS)
    write_wave(folder / "voice.wav", TalkingFace(2).sound(1.0))
    tiny_weights(folder / "tiny.safetensors")


def made_shards(folder: Path, *, clips: int = 2, size: int = 64) -> Path:
    """Write a shard of drawn people whose priors are made up: nothing has to be tracked, so it takes no time."""
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(folder / "train-00000.tar", "w") as shard:
        for seed in range(clips):
            clip = folder.parent / "clip.mp4"
            write_clip(clip, float(FRAMES / FPS), seed=seed, size=size, fps=FPS)
            info = {"identity": f"drawn{seed}", "split": "train", "sound_is_speech": True}
            append(shard, ClipRecord(f"drawn{seed}", clip.read_bytes(), _made_priors(seed).encode(), info))
    return folder


def _made_priors(seed: int) -> Priors:
    rng = np.random.default_rng(seed)
    sway = 0.05 * rng.standard_normal((FRAMES, 1, 3)) + 0.01 * rng.standard_normal((FRAMES, MESH_POINTS, 3))
    mesh = (0.6 * tiny_mesh() + sway).astype(np.float32)
    masks = np.zeros((FRAMES, 64, 64), np.uint8)
    masks[:, 8:, 16:48] = 255
    return Priors(np.ones(FRAMES, bool), mesh, masks, rng.random((80, 4 * FRAMES + 16)).astype(np.float32))


def bad_inputs(folder: Path) -> None:
    """Write what must be refused, beside the good inputs."""
    (folder / "folder.mp4").mkdir()
    (folder / "empty.mp4").touch()
    (folder / "text.mp4").write_text("this is not a video\n" * 100)
    video, png = (folder / "driving.mp4").read_bytes(), (folder / "portrait.png").read_bytes()
    for share in (10, 50, 90):
        (folder / f"cut{share}.mp4").write_bytes(video[: len(video) * share // 100])
    write_picture(folder / "noface.png", np.full((64, 64, 3), 90, np.uint8))
    write_picture(folder / "one.png", np.zeros((1, 1, 3), np.uint8))
    (folder / "huge.png").write_bytes(_png_header(20_000, 20_000))
    (folder / "corrupt.png").write_bytes(png[:60] + bytes(200) + png[260 : len(png) // 2])
    write_picture(folder / "portrait.jpg", draw(128, seed=0))
    jpeg = (folder / "portrait.jpg").read_bytes()
    (folder / "corrupt.jpg").write_bytes(jpeg[:20] + bytes(100))
    good = (folder / "tiny.safetensors").read_bytes()
    (folder / "cut.safetensors").write_bytes(good[: len(good) // 2])
    (folder / "pickle.safetensors").write_bytes(pickle.dumps({"generator": {}}))
    (folder / "code.pth").write_bytes(pickle.dumps(print))
    _other_weights(folder)
    network, config = FirstOrderModel(KeypointConfig.tiny()), asdict(KeypointConfig.tiny())
    save(folder / "keypoints.safetensors", network.state_dict(), family="keypoint", config=config)
    (folder / "unknown.toml").write_text("stepz = 3\n")
    (folder / "broken.toml").write_text("steps = \n")


def _png_header(height: int, width: int) -> bytes:
    """A picture that claims to be large: refused by its header, before anything is decoded."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")


def _other_weights(folder: Path) -> None:
    generator = AvfrGenerator(AvfrConfig.tiny())
    state, config = dict(generator.network.state_dict()), generator.plain_config
    save(folder / "more.safetensors", {**state, "extra.weight": torch.zeros(1)}, family="avfr", config=config)
    save(folder / "family.safetensors", state, family="nobody", config=config)
    save(folder / "config.safetensors", state, family="avfr", config={**config, "widdths": 3})
    state.popitem()
    save(folder / "fewer.safetensors", state, family="avfr", config=config)


def run(arguments: Sequence[object]) -> int:
    """Run the command line in this process and return its exit status."""
    before = sys.argv
    sys.argv = ["visavis", *map(str, arguments)]
    try:
        main()
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else int(done.code is not None)
    finally:
        sys.argv = before
    return 0
