"""What a model is and what it costs: parameters and multiply-accumulates, split into per source and per frame."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from visavis.audio.character_network import CharacterNetwork
from visavis.audio.recogniser import CharacterConfig
from visavis.core.config import build
from visavis.core.registry import FAMILIES
from visavis.enhance.interpolation import BetweenConfig, Interpolator
from visavis.enhance.super_resolution import EnlargeConfig, Enlarger
from visavis.face.model3d import FaceModelConfig
from visavis.face.model3d_tensors import FaceModelTensors
from visavis.generators.base import family_of
from visavis.judges.face_network import FaceConfig, FaceNetwork
from visavis.judges.mouth_sync import MouthSync, MouthSyncConfig
from visavis.motion.speech.config import SpeakerConfig
from visavis.motion.speech.network import SpeakerNetwork
from visavis.nn.cost import Cost
from visavis.weights.checkpoint import check_fits, load, sha256
from visavis.weights.network import outlined
from visavis.weights.store import packaged, resolve

_Single = CharacterNetwork | FaceModelTensors | FaceNetwork | Interpolator | Enlarger | MouthSync | SpeakerNetwork

#: Networks that are no generators: shape, class.
_SINGLE: dict[str, tuple[type[Any], type[_Single]]] = {
    "characters": (CharacterConfig, CharacterNetwork),
    "face": (FaceConfig, FaceNetwork),
    "face-model": (FaceModelConfig, FaceModelTensors),
    "between": (BetweenConfig, Interpolator),
    "enlarge": (EnlargeConfig, Enlarger),
    "speaker": (SpeakerConfig, SpeakerNetwork),
    "sync": (MouthSyncConfig, MouthSync),
}


def describe(name_or_path: str) -> dict[str, Any]:
    """Describe weights, or a configuration by its name.

    Returns:
        Plain values: family, config, sha256 and licence (of weights), parameters and GMAC by part.

    Raises:
        WeightsError: nothing of that name, damaged, or keys that do not match the network.
    """
    named = _named(name_or_path)
    if named is not None:
        family, config = named
        about: dict[str, Any] = {"file": None, "family": family, "config": dict(config), "meta": {}}
        about |= {"bytes": None, "sha256": None}
    else:
        path = resolve(name_or_path)
        header = load(path, tensors=False)
        family, config = header.family, header.config
        check_fits(outlined(path, header, lambda: new_network(family, config)), header, path)
        about = {"file": str(path), "family": family, "config": config, "meta": header.meta}
        about |= {"bytes": path.stat().st_size, "sha256": sha256(path)}
    cost = cost_of(family, config)
    return {
        **about,
        "licence": about["meta"].get("licence"),
        "parameters": cost.parameters,
        "gmac": cost.gmac,
    }


def _named(name: str) -> tuple[str, Mapping[str, object]] | None:
    """Family and plain config of a name that stands for no weights here."""
    if name in packaged():
        return None
    for family in FAMILIES:
        config = family_of(family).named.get(name)
        if config is not None:
            return family, config
    return None


def new_network(family: str, config: Mapping[str, object]) -> torch.nn.Module:
    """A network of a family, with new weights."""
    if family in _SINGLE:
        shape, network = _SINGLE[family]
        return network(build(shape, config))
    return family_of(family).new_network(config)


def cost_of(family: str, config: Mapping[str, object]) -> Cost:
    """What a network costs; whatever size its config claims, nothing is computed."""
    if family not in _SINGLE:
        return family_of(family).cost_of(config)
    shape, make = _SINGLE[family]
    with FakeTensorMode(), torch.no_grad():
        network = make(build(shape, config)).eval()
        return Cost.of(network, **network.gmac())
