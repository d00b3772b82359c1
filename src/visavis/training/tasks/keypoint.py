"""The first order motion model as something to learn: the baseline, from the same pairs and by the same losses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from torch import Tensor, nn

from visavis.generators.keypoint import FirstOrderModel, KeypointConfig
from visavis.motion.keypoints import KeypointMotion
from visavis.nn.warp import resize_grid, sample
from visavis.training.data.dataset import Batch
from visavis.training.tasks.pairs import Drawn, PairTask


class KeypointTask(PairTask):
    """Learns a first order model; it sees pictures alone, neither priors nor sound."""

    family = "keypoint"
    model_class = KeypointConfig
    presets: ClassVar[Mapping[str, Callable[[], Any]]] = {"vox256": KeypointConfig.vox256, "tiny": KeypointConfig.tiny}

    def build(self) -> FirstOrderModel:
        """A new network."""
        return FirstOrderModel(self.config.model)

    def detect(self, network: nn.Module, picture: Tensor, prior: Tensor) -> KeypointMotion:
        """Keypoints of the picture alone."""
        assert isinstance(network, FirstOrderModel)
        return network.detect(picture)

    def draw(self, network: nn.Module, batch: Batch) -> Drawn:
        """Detect, move, paint."""
        assert isinstance(network, FirstOrderModel)
        driving = network.detect(batch.driving)
        source = network.encode(batch.source, network.detect(batch.source))
        out = network.render(source, driving)
        warped = sample(batch.source, resize_grid(out.grid, batch.source.shape[2:]))
        return Drawn(out.picture.float(), warped, driving)
