"""Which code builds which family; imported only when it is asked for."""

from __future__ import annotations

from dataclasses import asdict
from importlib import import_module
from operator import attrgetter
from typing import Any

from visavis.core.errors import WeightsError

#: Family name to ``module:class`` of its generator.
FAMILIES = {
    "avfr": "visavis.generators.avfr.generator:AvfrGenerator",
    "keypoint": "visavis.generators.keypoint:KeypointGenerator",
}

#: Configurations that can be asked for by name, with or without weights: family and ``module:class.maker``.
CONFIGS = {
    "avfr-256": ("avfr", "visavis.generators.avfr.config:AvfrConfig.compact256"),
    "avfr-paper-256": ("avfr", "visavis.generators.avfr.config:AvfrConfig.paper256"),
    "keypoint-vox-256": ("keypoint", "visavis.generators.keypoint:KeypointConfig.vox256"),
}


def named_config(name: str) -> tuple[str, dict[str, Any]] | None:
    """Return the family and the plain config of a named configuration, or None when there is none of that name."""
    if name not in CONFIGS:
        return None
    family, place = CONFIGS[name]
    module, _, path = place.partition(":")
    return family, asdict(attrgetter(path)(import_module(module))())


def generator_class(family: str) -> Any:
    """Return the generator class of a family."""
    if family not in FAMILIES:
        raise WeightsError(f"unknown family '{family}'; known are: {', '.join(sorted(FAMILIES))}")
    module, _, name = FAMILIES[family].partition(":")
    return getattr(import_module(module), name)
