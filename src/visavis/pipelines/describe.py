"""What a model is and what it costs: parameters and multiply-accumulates, split into per source and per frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from visavis.audio.mel import MEL_BANDS
from visavis.audio.recogniser import CharacterConfig, CharacterNetwork
from visavis.core.config import build
from visavis.core.registry import generator_class
from visavis.enhance.interpolation import BetweenConfig, Interpolator, Neighbours
from visavis.enhance.super_resolution import EnlargeConfig, Enlarger
from visavis.generators.avfr.config import NAMED
from visavis.generators.avfr.network import AvfrNetwork
from visavis.generators.keypoint import FirstOrderModel, KeypointConfig
from visavis.judges.face_network import FaceConfig, FaceNetwork
from visavis.judges.mouth_sync import MouthSync, MouthSyncConfig
from visavis.nn.cost import gmac, parameters
from visavis.weights.checkpoint import Checkpoint, check_fits, load, sha256
from visavis.weights.network import outlined
from visavis.weights.store import packaged, resolve

_SIDE = 256  # of pictures, where a network takes any

#: Networks that are no generators: shape, class.
_OTHERS: dict[str, tuple[type[Any], type[torch.nn.Module]]] = {
    "characters": (CharacterConfig, CharacterNetwork),
    "face": (FaceConfig, FaceNetwork),
    "between": (BetweenConfig, Interpolator),
    "enlarge": (EnlargeConfig, Enlarger),
    "sync": (MouthSyncConfig, MouthSync),
}


def describe(name_or_path: str) -> dict[str, Any]:
    """Describe weights, or a configuration by its name.

    Returns:
        Plain values: family, config, sha256 and licence (of weights), parameters and GMAC by part.

    Raises:
        WeightsError: nothing of that name, damaged, or keys that do not match the network.
    """
    if name_or_path in NAMED and name_or_path not in packaged():
        config = NAMED[name_or_path]()
        about: dict[str, Any] = {"file": None, "family": "avfr", "config": asdict(config), "meta": {}}
        about |= {"bytes": None, "sha256": None}
        make: Callable[[], nn.Module] = partial(AvfrNetwork, config)
    else:
        path = resolve(name_or_path)
        header = load(path, tensors=False)
        make = _maker(header)
        check_fits(outlined(path, header, make), header, path)
        about = {"file": str(path), "family": header.family, "config": header.config, "meta": header.meta}
        about |= {"bytes": path.stat().st_size, "sha256": sha256(path)}
    # Whatever size a header claims, nothing is computed: shapes alone tell how many products there would be.
    with FakeTensorMode():
        network = make().eval()
        cost = frame_cost(network)
    total = sum(p.numel() for p in network.parameters())
    return {
        **about,
        "licence": about["meta"].get("licence"),
        "parameters": {**parameters(network), "total": total},
        "gmac": cost,
    }


def _maker(header: Checkpoint) -> Callable[[], nn.Module]:
    if header.family in _OTHERS:
        shape, network = _OTHERS[header.family]
        return lambda: network(build(shape, header.config))
    return partial(generator_class(header.family).new_network, header.config)


def frame_cost(network: nn.Module) -> dict[str, dict[str, float]]:
    """GMAC of a network in evaluation mode, by part: per source and driving frame, picture, frame of a mouth, or part
    of sound.

    It may change mesh buffers.
    """
    if isinstance(network, FaceNetwork):
        return {"per_picture": _face_cost(network)}
    if isinstance(network, Interpolator):
        return {"per_picture": _between_cost(network)}
    if isinstance(network, Enlarger):
        side = _SIDE + 2 * network.config.reach
        return {"per_picture": _rounded({"network": gmac(lambda: network(torch.rand(1, 3, side, side)))})}
    if isinstance(network, CharacterNetwork):
        mel = torch.rand(1, MEL_BANDS, network.config.mel_frames)
        return {"per_part": _rounded({"network": gmac(lambda: network(mel))})}
    if isinstance(network, MouthSync):
        return {"per_window": _sync_cost(network)}
    return _avfr_cost(network) if isinstance(network, AvfrNetwork) else _keypoint_cost(network)


def _rounded(parts: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 3) for name, value in {**parts, "total": sum(parts.values())}.items()}


@torch.no_grad()
def _avfr_cost(network: AvfrNetwork) -> dict[str, dict[str, float]]:
    config = network.config
    size = config.size
    picture, prior = torch.rand(1, 3, size, size), torch.rand(1, 2, size, size)
    mel = torch.rand(1, 1, 80, 20)
    mesh = torch.zeros(1, 6 + config.mesh_coefficients) if config.mesh_motion else None
    if config.mesh_motion:
        # Distinct points, as any real face has: equal ones make the spline's system singular.
        network.mesh_model.mean.uniform_(-1, 1)
    drawing = prior[:, :1]
    motion = network.detect(picture, prior, mesh)
    still = network.encode(picture, motion, prior)
    detector = gmac(lambda: network.detect(picture, prior, mesh))
    render = gmac(lambda: network.render(still, motion, drawing, mel))
    controls = network.mesh_model.controls(motion.mesh) if motion.mesh is not None else None
    dense = gmac(lambda: network.motion(still, motion, controls, drawing if config.mesh_motion else None))
    sound = gmac(lambda: (network.sound(mel), network.query(mel))) if config.sound else 0.0
    per_source = {"detector": detector, "appearance": gmac(lambda: network.appearance(picture))}
    if config.identity_aware:
        per_source["identity"] = gmac(lambda: network.identity(picture))
    per_frame = {"detector": detector, "motion": dense, "sound": sound, "decoder": render - dense - sound}
    return {"per_source": _rounded(per_source), "per_frame": _rounded(per_frame)}


@torch.no_grad()
def _between_cost(network: Interpolator) -> dict[str, float]:
    points = torch.rand(1, 10, 2)
    pictures = torch.rand(2, 1, 3, _SIDE, _SIDE)
    pair = Neighbours(pictures[0], pictures[1], points, points, torch.full((1,), 0.5))
    return _rounded({"network": gmac(lambda: network(pair))})


@torch.no_grad()
def _sync_cost(network: MouthSync) -> dict[str, float]:
    frames = network.config.window
    crops, shapes = torch.rand(1, frames, 32, 48), torch.rand(1, frames, network.config.shape_values)
    mel = torch.rand(1, 80, 4 * frames + 16)
    return _rounded({"mouth": gmac(lambda: network.see(crops, shapes)), "sound": gmac(lambda: network.listen(mel))})


@torch.no_grad()
def _face_cost(network: FaceNetwork) -> dict[str, float]:
    picture = torch.rand(1, 3, network.config.size, network.config.size)
    features = gmac(lambda: network.features(picture))
    return _rounded({"features": features, "heads": gmac(lambda: network(picture)) - features})


@torch.no_grad()
def _keypoint_cost(network: Any) -> dict[str, dict[str, float]]:
    assert isinstance(network, FirstOrderModel)
    config: KeypointConfig = network.config
    picture = torch.rand(1, 3, config.size, config.size)
    motion = network.detect(picture)
    source = network.encode(picture, motion)
    detector = gmac(lambda: network.detect(picture))
    dense = gmac(lambda: network.generator.dense_motion_network(source, motion))
    render = gmac(lambda: network.render(source, motion))
    per_source = {"detector": detector, "encoder": gmac(lambda: network.encode(picture, motion))}
    per_frame = {"detector": detector, "motion": dense, "decoder": render - dense}
    return {"per_source": _rounded(per_source), "per_frame": _rounded(per_frame)}
