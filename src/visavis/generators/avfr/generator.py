"""AVFR behind the contract that all generators keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from visavis.audio.feature import MEL_WINDOW, SoundFeature
from visavis.core.errors import FaceError
from visavis.face.lids import Lids
from visavis.face.lips import Lips
from visavis.face.mesh import draw_mesh
from visavis.face.morphable import LinearFaceModel
from visavis.face.types import Observation
from visavis.generators.avfr.config import NAMED, AvfrConfig
from visavis.generators.avfr.cost import gmac_of
from visavis.generators.avfr.network import AvfrNetwork
from visavis.generators.avfr.steps import Still
from visavis.generators.base import Prior
from visavis.generators.network import NetworkGenerator, overlaid
from visavis.motion.keypoint_kind import KeypointKind
from visavis.motion.keypoints import KeypointMotion
from visavis.motion.layout import Motion
from visavis.nn.graph import CompileGraphs, Graph
from visavis.nn.pictures import grey_as_tensor


@dataclass(frozen=True)
class Prepared:
    """All that depends on the source alone.

    Attributes:
        still: what the network made of it.
        skin: of the source picture, laid over where lids and lips close; empty for networks without a mesh.
    """

    still: Still
    skin: tuple[Lids | Lips, ...]


class AvfrGenerator(NetworkGenerator[AvfrConfig, AvfrNetwork, Prepared]):
    """AVFR-GAN as a generator.

    Args:
        config: shape of the network.
        network: weights; new ones when None.
        engine: where and how to compute; in bf16 all but keypoints and dense motion is.
    """

    family = "avfr"
    shape_class, network_class = AvfrConfig, AvfrNetwork
    named: ClassVar[Mapping[str, Mapping[str, object]]] = {name: asdict(make()) for name, make in NAMED.items()}
    exact = ("detector", "motion")
    graphs = (Graph("detect", exact=True), Graph("move", exact=True, lent=True), Graph("decode", lent=True))
    gmac_of = staticmethod(gmac_of)

    def fold(self, compile_graphs: CompileGraphs | None = None) -> None:
        """Make rendering fast, see :class:`visavis.generators.base.Generator`."""
        super().fold(compile_graphs)
        if self.config.mesh_motion:
            self.network.mesh_model.settle()

    @cached_property
    def kind(self) -> KeypointKind:
        """Keypoints, jacobians, then camera and shape of the mesh; as the weights are when it is first asked for."""
        return KeypointKind(self.config.keypoints, self.config.jacobians, self.face_model)

    @cached_property
    def face_model(self) -> LinearFaceModel | None:
        """The linear face model that its motions' mesh values are of; None when they have none."""
        if not self.config.mesh_motion:
            return None
        model = self.network.mesh_model
        return LinearFaceModel(model.mean.cpu().numpy(), model.basis.cpu().numpy())

    @property
    def needs(self) -> frozenset[Prior]:
        """Mesh and segmentation for the structural prior and for layers, mesh for mesh motion."""
        if self.config.structural_prior or self.config.layers:
            return frozenset({Prior.MESH, Prior.SEGMENTATION})
        return frozenset({Prior.MESH} if self.config.mesh_motion else ())

    @property
    def needs_of_driver(self) -> frozenset[Prior]:
        """The segmentation only where the detector looks at it, which is what the structural prior is for."""
        return self.needs if self.config.structural_prior else self.needs & {Prior.MESH}

    @property
    def hears(self) -> SoundFeature | None:
        """The mel window of a frame."""
        return MEL_WINDOW if self.config.sound else None

    def _analyse(self, observation: Observation) -> Motion:
        """Motion of one observation (equation 1)."""
        return self._detect(observation)[0].frame(self.kind.layout)

    def _prepare(self, references: Sequence[Observation]) -> Prepared:
        """Encode the source."""
        source = references[0]
        if self.config.layers and source.segmentation is None:
            raise FaceError("this model needs the segmentation of the source")
        motion, prior = self._detect(source)
        still = self.network.encode(self._picture(source), motion, prior)
        skin: tuple[Lids | Lips, ...] = ()
        if self.face_model is not None and source.mesh is not None:
            skin = Lids(source.picture, source.mesh), Lips(source.picture, source.mesh)
        return Prepared(still, skin)

    def _render(self, person: Prepared, motions: Sequence[Motion], sound: NDArray[np.float32] | None) -> Tensor:
        """Move the source, and close its lids and lips at full resolution."""
        motion = motions[-1]
        mel = None if sound is None else torch.from_numpy(sound)[None, None].to(self.device)
        mesh = None
        if self.face_model is not None:
            mesh = self.face_model.points(np.concatenate([motion["camera"], motion["shape"]]))
        drawing = None if mesh is None else grey_as_tensor(draw_mesh(mesh, self.size), self.device)
        moved = KeypointMotion.of(motion, self.device)
        picture = self.network.picture(person.still, moved, drawing, mel).float()
        if mesh is not None:
            for skin in person.skin:
                picture = overlaid(picture, skin.patches(mesh))
        return picture

    def _detect(self, observation: Observation) -> tuple[KeypointMotion, Tensor | None]:
        """Motion of an observation, and its prior ``[1, 2, S, S]`` if this network looks at one."""
        values, drawing = self._mesh_of(observation)
        prior = None
        if drawing is not None:
            prior = torch.cat([drawing, self._person(observation)], 1)
        return self.network.detect(self._picture(observation), prior, values), prior

    def _person(self, observation: Observation) -> Tensor:
        """Segmentation ``[1, 1, S, S]``; empty where this network does not look at it."""
        if observation.segmentation is not None:
            return grey_as_tensor(observation.segmentation, self.device)
        if Prior.SEGMENTATION in self.needs_of_driver:
            raise FaceError("this model needs the segmentation of every frame it analyses")
        return torch.zeros(1, 1, self.size, self.size, device=self.device)

    def _mesh_of(self, observation: Observation) -> tuple[Tensor | None, Tensor | None]:
        """Mesh values and drawing of an observation; the drawing is of the coded mesh, as a receiver has it."""
        if not {Prior.MESH, Prior.SEGMENTATION} & self.needs:
            return None, None
        if observation.mesh is None:
            raise FaceError("this model needs the face mesh of every frame it analyses")
        mesh, values = observation.mesh, None
        if self.face_model is not None:
            coded = self.face_model.fit(mesh)
            values = torch.from_numpy(coded)[None].to(self.device)
            mesh = self.face_model.points(coded)
        return values, grey_as_tensor(draw_mesh(mesh, self.size), self.device)
