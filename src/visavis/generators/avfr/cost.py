"""What an AVFR network costs, part by part."""

from __future__ import annotations

import torch
from torch import nn

from visavis.audio.feature import MEL_WINDOW
from visavis.generators.avfr.network import AvfrNetwork
from visavis.nn.cost import gmac


def gmac_of(network: nn.Module) -> dict[str, dict[str, float]]:
    """1e9 multiply-accumulates per source and per driving frame, by part."""
    assert isinstance(network, AvfrNetwork)
    config = network.config
    size = config.size
    picture, prior = torch.rand(1, 3, size, size), torch.rand(1, 2, size, size)
    mel = torch.rand(1, 1, *MEL_WINDOW.shape)
    mesh = torch.zeros(1, 6 + config.mesh_coefficients) if config.mesh_motion else None
    drawing = prior[:, :1]
    motion = network.detect(picture, prior, mesh)
    still = network.encode(picture, motion, prior)
    detector = gmac(lambda: network.detect(picture, prior, mesh))
    render = gmac(lambda: network.render(still, motion, drawing, mel))
    by_mesh = network.carry(still, motion)
    dense = gmac(lambda: network.motion(still, motion, by_mesh, still.drawing))
    sound = gmac(lambda: (network.sound(mel), network.query(mel))) if config.sound else 0.0
    per_source = {"detector": detector, "appearance": gmac(lambda: network.appearance(picture))}
    if config.identity_aware:
        per_source["identity"] = gmac(lambda: network.identity(picture))
    per_frame = {"detector": detector, "motion": dense, "sound": sound, "decoder": render - dense - sound}
    return {"per_source": per_source, "per_frame": per_frame}
