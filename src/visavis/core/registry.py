"""Which code builds which family; imported only when it is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from visavis.core.errors import WeightsError

#: Family name to ``module:class`` of its generator.
FAMILIES = {
    "avfr": "visavis.generators.avfr.generator:AvfrGenerator",
    "headgan": "visavis.generators.headgan.generator:HeadganGenerator",
    "keypoint": "visavis.generators.keypoint:KeypointGenerator",
    "rhythmic": "visavis.generators.rhythmic.generator:RhythmicGenerator",
}


def generator_class(family: str) -> Any:
    """Return the generator class of a family."""
    if family not in FAMILIES:
        raise WeightsError(f"unknown family '{family}'; known are: {', '.join(sorted(FAMILIES))}")
    module, _, name = FAMILIES[family].partition(":")
    return getattr(import_module(module), name)
