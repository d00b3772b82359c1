"""AVFR-GAN as something to learn (section 3, 'Training')."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from visavis.generators.avfr.config import AvfrConfig
from visavis.generators.avfr.mesh_model import MeshModel
from visavis.generators.avfr.network import AvfrNetwork
from visavis.motion.keypoints import KeypointMotion
from visavis.training.data.dataset import Batch
from visavis.training.tasks.pairs import Drawn, PairTask


class AvfrTask(PairTask):
    """Learns an AVFR network, with whichever of its parts the shape switches on."""

    family = "avfr"
    model_class = AvfrConfig
    presets: ClassVar[Mapping[str, Callable[[], Any]]] = {
        "compact256": AvfrConfig.compact256,
        "paper256": AvfrConfig.paper256,
        "tiny": AvfrConfig.tiny,
    }

    @classmethod
    def mesh_coefficients(cls, model: AvfrConfig) -> int:
        """Those that travel in the motion."""
        return model.mesh_coefficients

    def build(self) -> AvfrNetwork:
        """A new network that has the face model of the data."""
        network = AvfrNetwork(self.config.model)
        if self.config.model.mesh_motion:
            network.mesh_model.mean.copy_(torch.from_numpy(self.pairs.model.mean))
            network.mesh_model.basis.copy_(torch.from_numpy(self.pairs.model.basis))
        return network

    @classmethod
    def fixed_in(cls, model: AvfrConfig, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The linear face model, in a network that moves by the mesh: its coefficients mean something to no other."""
        wanted = MeshModel(model.mesh_coefficients).state_dict()
        found = {
            f"face.{name}": tensors[inside].float()
            for name, alike in wanted.items()
            if (inside := f"mesh_model.{name}") in tensors and tensors[inside].shape == alike.shape
        }
        # Damaged weights are refused by name where all their tensors are loaded.
        return found if len(found) == len(wanted) else {}

    def detect(self, network: nn.Module, picture: Tensor, prior: Tensor) -> KeypointMotion:
        """Equation 1."""
        assert isinstance(network, AvfrNetwork)
        return network.detect(picture, prior if network.config.structural_prior else None)

    def draw(self, network: nn.Module, batch: Batch) -> Drawn:
        """The whole of figure 2."""
        assert isinstance(network, AvfrNetwork)
        source = network.detect(batch.source, batch.source_prior, batch.source_mesh)
        driving = network.detect(batch.driving, batch.driving_prior, batch.driving_mesh)
        still = network.encode(batch.source, source, batch.source_prior)
        out = network.render(still, driving, batch.driving_prior[:, :1], batch.mel)
        return Drawn(out.picture, out.warped, driving, out.layers, out.shares)
