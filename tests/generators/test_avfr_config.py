"""The shape in an AVFR checkpoint's header: what no network can have is refused before one is built."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from made import run
from visavis.core.config import build
from visavis.core.errors import ConfigError
from visavis.generators.avfr.config import AvfrConfig
from visavis.weights.checkpoint import save


@pytest.mark.parametrize(
    "values",
    [
        {"size": 0},
        {"size": 100},
        {"size": 2**20},
        {"keypoints": 10**9},
        {"keypoints": -1},
        {"mesh_coefficients": 0},
        {"channels": 10**9},
        {"detector_blocks": 64},
        {"motion_max": 10**12},
        {"widths": [64, 0, 128]},
        {"widths": [64, 10**9, 128]},
        {"bottleneck_blocks": -1},
        {"modulation_kernel": 4},
        {"condition_channels": 10**9},
        {"light_widths": [16, 0, 64]},
        {"light_blocks": [1, 2, 10**6]},
        {"light_carried": [10**9, 48]},
        {"light": True},
    ],
)
def test_a_shape_that_no_network_can_have_is_refused(values: dict[str, Any]):
    with pytest.raises(ConfigError, match=next(iter(values))):
        build(AvfrConfig, values)


@pytest.mark.parametrize(
    "config", [AvfrConfig.tiny(), AvfrConfig.compact256(), AvfrConfig.live256(), AvfrConfig.paper256()]
)
def test_known_shapes_pass_and_come_back_from_their_plain_values(config: AvfrConfig):
    plain = asdict(config)
    assert build(AvfrConfig, {**plain, "widths": list(plain["widths"])}) == config


def test_a_hostile_header_is_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    config = {**asdict(AvfrConfig.tiny()), "detector_max": 10**9, "detector_blocks": 60}
    save(tmp_path / "bad.safetensors", {}, family="avfr", config=config)
    assert run(["inspect", tmp_path / "bad.safetensors"]) == 1
    printed = capfd.readouterr()
    assert "detector_" in printed.err and printed.err.count("\n") == 1
