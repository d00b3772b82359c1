"""What a HeadGAN network costs."""

from __future__ import annotations

import torch
from torch import nn

from visavis.face.surface import FaceMotion
from visavis.generators.headgan.network import HeadganNetwork
from visavis.nn.cost import gmac


def gmac_of(network: nn.Module) -> dict[str, dict[str, float]]:
    """1e9 multiply-accumulates per source and per driving frame, by part."""
    assert isinstance(network, HeadganNetwork)
    config = network.config
    size, side = config.size, config.raster
    picture, face = torch.rand(1, 3, size, size), torch.rand(1, 3, side, side)
    person = torch.rand(1, 1, size, size) if config.layers else None
    faces = torch.rand(1, 3 * (config.memory + 1), side, side)
    plane = torch.ones(1, 1, side, side)
    motion = FaceMotion(torch.zeros(1, 2, side, side), plane, plane) if config.mesh_flow else None
    sound = torch.rand(1, config.sound) if config.sound else None
    still = network.encode(picture, face, person)
    warp = gmac(lambda: network.warp(still, faces, motion))
    whole = gmac(lambda: network.render(still, faces, motion, sound))
    return {
        "per_source": {"encoder": gmac(lambda: network.encode(picture, face, person))},
        "per_frame": {"flow": warp, "renderer": whole - warp},
    }
