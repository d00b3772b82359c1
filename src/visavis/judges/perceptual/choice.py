"""Which perceptual distance is used: the one asked for, or the best at hand."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import torch

from visavis.core.errors import ConfigError, WeightsError
from visavis.judges.face_network import PACKAGED_NAME
from visavis.judges.perceptual.base import PerceptualDistance
from visavis.judges.perceptual.efficientnet import TELLING_KEYS, EfficientNetDistance
from visavis.judges.perceptual.face import FaceDistance
from visavis.judges.perceptual.lpips import LINEAR_KEYS, Lpips
from visavis.judges.perceptual.vgg19 import TELLING_KEY, Vgg19Pyramid
from visavis.weights.checkpoint import is_checkpoint
from visavis.weights.convert import read_tensors

_LPIPS_WHOLE = ("lpips.safetensors", "lpips.pth")
_VGG16 = "vgg16-397923af.pth"
_VGG19 = "vgg19-dcbb9e9d.pth"
# The linear layers: beside VGG-16 in the cache, or in a package that brings them.
_LINEAR = ("lpips_vgg.pth", "vgg.pth")
_LINEAR_IN_PACKAGES = {"lpips": "weights/v0.1/vgg.pth", "torchmetrics": "functional/image/lpips_models/vgg.pth"}


def choose(spec: str, device: torch.device | str = "cpu") -> PerceptualDistance:
    """Return the perceptual distance that ``spec`` names, ready on ``device``.

    Args:
        spec: ``lpips``, ``vgg19`` (their published weights in torch's hub cache), ``efficientnet-lite0`` (of the extra
            ``train``) or ``face-128`` (ours, packaged); a file of weights of one of these, known by its keys; or
            nothing for the first at hand of LPIPS, VGG-19 and ``face-128``.

    Raises:
        WeightsError: the weights are not at hand, damaged, or of no network that is known here.
        ConfigError: ``none``, which is the wish for no such loss, and so for a weight of zero.
    """
    if spec == "none":
        raise ConfigError("perceptual 'none' goes with a perceptual weight of 0; name a network or leave it empty")
    return _find(spec).to(device)


def _find(spec: str) -> PerceptualDistance:
    if spec == "":
        return _lpips() or _vgg19() or FaceDistance.from_file()
    if spec == PACKAGED_NAME:
        return FaceDistance.from_file()
    if spec == EfficientNetDistance.name:
        return EfficientNetDistance.from_file()
    if spec in ("lpips", "vgg19"):
        found = _lpips() if spec == "lpips" else _vgg19()
        if found is None:
            needed = f"{_VGG16} and {_LINEAR[0]}, or {_LPIPS_WHOLE[0]}" if spec == "lpips" else _VGG19
            raise WeightsError(f"perceptual '{spec}': its weights are not in {_cache()}; put there {needed}")
        return found
    return _from_path(Path(spec))


def _from_path(path: Path) -> PerceptualDistance:
    if is_checkpoint(path):
        return FaceDistance.from_file(path)
    table = read_tensors(path)
    if LINEAR_KEYS[0] in table:
        return Lpips.from_table(table, path)
    if TELLING_KEY in table:
        return Vgg19Pyramid.from_table(table, path)
    if all(key in table for key in TELLING_KEYS):
        return EfficientNetDistance.from_table(table, path)
    wanted = (
        f"LPIPS ('{LINEAR_KEYS[0]}', ...), of VGG-19 ('{TELLING_KEY}', ...), of EfficientNet-Lite0 or of a face network"
    )
    raise WeightsError(f"{path}: is not a table of {wanted}")


def _lpips() -> Lpips | None:
    folder = _cache()
    for name in _LPIPS_WHOLE:
        if (folder / name).is_file():
            return Lpips.from_file(folder / name)
    linear = _linear_layers(folder)
    vgg16 = folder / _VGG16
    return Lpips.from_file(vgg16, linear) if linear is not None and vgg16.is_file() else None


def _linear_layers(folder: Path) -> Path | None:
    places = [folder / name for name in _LINEAR]
    for package, inside in _LINEAR_IN_PACKAGES.items():
        found = find_spec(package)
        places += [Path(place) / inside for place in (found.submodule_search_locations or () if found else ())]
    return next((place for place in places if place.is_file()), None)


def _vgg19() -> Vgg19Pyramid | None:
    path = _cache() / _VGG19
    return Vgg19Pyramid.from_file(path) if path.is_file() else None


def _cache() -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints"
