"""A published first order model, converted, computes what its own code computes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from visavis.generators.keypoint import FirstOrderModel, KeypointConfig
from visavis.motion.keypoint_kind import KeypointKind
from visavis.motion.keypoints import KeypointMotion
from visavis.weights.checkpoint import load, load_into
from visavis.weights.convert import convert


@pytest.fixture
def case(shared: Path, tmp_path: Path) -> tuple[FirstOrderModel, dict[str, Any]]:
    output = tmp_path / "fomm.safetensors"
    config = convert(shared / "parity/small_s0.ckpt.pth.tar", output)
    network = FirstOrderModel(KeypointConfig(**config)).eval()
    load_into(network, load(output), output)
    return network, torch.load(shared / "parity/small_s0.io.pt", weights_only=True)


def motion(values: dict[str, torch.Tensor]) -> KeypointMotion:
    return KeypointMotion(values["value"], values["jacobian"])


def close(made: torch.Tensor, expected: torch.Tensor, most: float, mean: float) -> None:
    error = (made - expected).abs()
    assert error.max() <= most
    assert error.mean() <= mean


@torch.no_grad()
def test_converted_model_agrees_with_the_reference(case: tuple[FirstOrderModel, dict[str, Any]]) -> None:
    network, io = case
    found = network.detect(io["source"])
    close(found.points, io["kp_source"]["value"], 1e-5, 1e-5)
    close(found.jacobians, io["kp_source"]["jacobian"], 1e-4, 1e-5)
    source = network.encode(io["source"], motion(io["kp_source"]))
    own = network.encode(io["source"], found)
    kind = KeypointKind(network.config.keypoints, True)
    carry = kind.carrier(
        motion(io["kp_source"]).frame(kind.layout), motion(io["kp_driving_initial"]).frame(kind.layout)
    )
    for frame in io["frames"]:
        driving = network.detect(frame["driving"])
        close(driving.points, frame["kp_driving"]["value"], 1e-5, 1e-5)
        close(driving.jacobians, frame["kp_driving"]["jacobian"], 1e-4, 1e-5)
        # From pixels to pixels too, by nothing but our own keypoints.
        close(network.render(own, driving).picture, frame["prediction"], 2e-3, 1e-4)
        out = network.render(source, motion(frame["kp_driving"]))
        close(out.grid, frame["deformation"], 2e-3, 1e-4)
        close(out.occlusion, frame["occlusion_map"], 2e-3, 1e-4)
        close(out.mask, frame["mask"], 2e-3, 1e-4)
        close(out.picture, frame["prediction"], 2e-3, 1e-4)
        moved = KeypointMotion.of(carry(motion(frame["kp_driving"]).frame(kind.layout))).tensors()
        close(moved.points, frame["kp_norm"]["value"], 1e-5, 1e-5)
        close(moved.jacobians, frame["kp_norm"]["jacobian"], 1e-4, 1e-5)
        close(network.render(source, moved).picture, frame["prediction_relative"], 2e-3, 1e-4)
