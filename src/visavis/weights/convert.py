"""Published checkpoints to safetensors. The only place that reads pickles, and without running what is in them."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from visavis.core.errors import ConfigError, WeightsError
from visavis.core.registry import generator_class
from visavis.weights.checkpoint import Checkpoint, check_fits, check_header, save
from visavis.weights.outline import outline

State = Mapping[str, Tensor]


PUBLISHED_SIZE = 256


def convert(source: Path, output: Path, family: str = "keypoint", size: int = PUBLISHED_SIZE) -> dict[str, Any]:
    """Read a published checkpoint and write it as safetensors; returns the network's shape read from its tensors.

    Nothing is written unless the tensors fit the network of that shape.

    Args:
        source: a ``.pth`` or ``.pth.tar`` with ``generator`` and ``kp_detector``, as published for vox-256.
        output: file to write.
        family: ``keypoint`` is the one known layout.
        size: side of the pictures that the network was trained at. No tensor tells; the published faces are of 256.

    Raises:
        WeightsError: another family or size than such networks have, not such a checkpoint, damaged, or holding more
            than tensors.
    """
    if family != "keypoint":
        raise WeightsError(f"cannot convert family '{family}'; known is: keypoint")
    parts = _read(source)
    try:
        config = {**_keypoint_config(parts["generator"], parts["kp_detector"]), "size": size}
        network = outline(lambda: generator_class(family).new_network(config))
    except (KeyError, IndexError, ValueError, TypeError, RuntimeError, OverflowError, ConfigError) as error:
        raise WeightsError(f"{source}: its tensors are no first order model's of size {size} ({error})") from error
    tensors = {f"generator.{name}": tensor for name, tensor in parts["generator"].items()}
    tensors |= {f"kp_detector.{name}": tensor for name, tensor in parts["kp_detector"].items()}
    meta = {"converted_from": source.name, "licence": "unknown"}
    check_fits(network, Checkpoint(family, config, meta, tensors), source)
    save(output, tensors, family=family, config=config, meta=meta)
    return config


def read_tensors(source: Path) -> dict[str, Tensor]:
    """Read a flat table of tensors, safetensors or ``.pth``, without running what is in it.

    Raises:
        WeightsError: no such file, damaged, or holding more than tensors.
    """
    if source.is_file() and source.suffix == ".safetensors":
        try:
            check_header(source)
            return load_file(source)
        except (SafetensorError, OSError, ValueError) as error:
            raise WeightsError(f"{source}: is not a safetensors file, or is damaged or cut short") from error
    table = _unpickled(source)
    for name, tensor in table.items():
        _check(source, str(name), name, tensor)
    return table


def _unpickled(source: Path) -> dict[str, Any]:
    if not source.is_file():
        raise WeightsError(f"{source}: no such weights file")
    try:
        if zipfile.is_zipfile(source):
            _check_zip(source)
        # weights_only: a pickle may name any code; this reads tensors and plain containers and refuses the rest.
        values = torch.load(source, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
        raise WeightsError(f"{source}: is not a checkpoint of tensors alone, or is damaged or cut short") from error
    except WeightsError:
        raise
    except Exception as error:  # hostile bytes make the unpickler raise anything
        raise WeightsError(f"{source}: is not a checkpoint that can be read") from error
    if not isinstance(values, dict):
        raise WeightsError(f"{source}: holds no table of tensors")
    return values


def _read(source: Path) -> dict[str, State]:
    values = _unpickled(source)
    missing = [name for name in ("generator", "kp_detector") if not isinstance(values.get(name), Mapping)]
    if missing:
        raise WeightsError(f"{source}: lacks {' and '.join(missing)}; only first order model checkpoints are known")
    parts: dict[str, State] = {name: values[name] for name in ("generator", "kp_detector")}
    for part, state in parts.items():
        for name, tensor in state.items():
            _check(source, f"{part}.{name}", name, tensor)
    return parts


def _check_zip(source: Path) -> None:
    """Refuse archives that torch never writes: a compressed one may unpack to more than the memory holds."""
    with zipfile.ZipFile(source) as archive:
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise WeightsError(f"{source}: is a compressed archive, which checkpoints never are")


def _check(source: Path, where: str, name: object, tensor: object) -> None:
    """Refuse all but plain tensors of real numbers that are as large as they say."""
    plain = isinstance(tensor, Tensor) and tensor.layout == torch.strided and not tensor.is_quantized
    if not isinstance(name, str) or not plain or not isinstance(tensor, Tensor) or tensor.is_complex():
        raise WeightsError(f"{source}: {where!r} is not a plain tensor of real numbers")
    # A view may repeat one stored number a billion times; copying it would fill the memory.
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise WeightsError(f"{source}: {where!r} claims more numbers than the file holds")


def _count(state: State, prefix: str) -> int:
    """How many numbered blocks stand behind ``prefix``."""
    return len({name[len(prefix) :].split(".")[0] for name in state if name.startswith(prefix)})


def _hourglass(state: State, prefix: str) -> tuple[int, int, int]:
    """Width, blocks and cap of an hourglass, from its tensors."""
    blocks = _count(state, f"{prefix}encoder.down_blocks.")
    width = state[f"{prefix}decoder.up_blocks.{blocks - 1}.conv.weight"].shape[0]
    most = max(state[f"{prefix}encoder.down_blocks.{i}.conv.weight"].shape[0] for i in range(blocks))
    return int(width), blocks, int(most)


def _keypoint_config(generator: State, detector: State) -> dict[str, Any]:
    names = ("width", "blocks", "max")
    found = dict(zip((f"detector_{n}" for n in names), _hourglass(detector, "predictor."), strict=True))
    prefix = "dense_motion_network.hourglass."
    found |= dict(zip((f"motion_{n}" for n in names), _hourglass(generator, prefix), strict=True))
    down_blocks = _count(generator, "down_blocks.")
    return {
        **found,
        "keypoints": int(detector["kp.weight"].shape[0]),
        "jacobians": "jacobian.weight" in detector,
        "width": int(generator["first.conv.weight"].shape[0]),
        "down_blocks": down_blocks,
        "bottleneck_blocks": _count(generator, "bottleneck."),
        "most": int(generator[f"down_blocks.{down_blocks - 1}.conv.weight"].shape[0]),
    }
