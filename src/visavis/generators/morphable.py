"""What generators share that are driven by the packaged 3D face."""

from __future__ import annotations

from functools import cached_property
from typing import Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from visavis.core.errors import FaceError
from visavis.face.fitting import fit_clip
from visavis.face.gaze import with_irises
from visavis.face.model3d import load_face_model
from visavis.face.raster import rasterise
from visavis.face.types import Observation
from visavis.generators.base import Prior
from visavis.generators.network import NetworkGenerator, NetworkT, PreparedT, Shape
from visavis.motion.kind import Meshes
from visavis.motion.layout import Motion
from visavis.motion.morphable_kind import MorphableKind
from visavis.nn.engine import PLAIN, Engine
from visavis.nn.pictures import grey_as_tensor

Array = NDArray[np.float32]


class FaceShape(Shape, Protocol):
    """Shape of a network that is shown a 3D face."""

    @property
    def irises(self) -> bool:
        """Whether the face has irises, and its motion a gaze."""

    @property
    def layers(self) -> bool:
        """Whether the background is a layer of its own."""

    @property
    def raster(self) -> int:
        """Side of the pictures of the face."""


FaceShapeT = TypeVar("FaceShapeT", bound=FaceShape)


class MorphableGenerator(NetworkGenerator[FaceShapeT, NetworkT, PreparedT]):
    """Base of generators whose motion is identity, expression and camera of the packaged 3D face.

    Args:
        config: shape of the network.
        network: weights; new ones when None.
        engine: where and how to compute; faces are computed in float32.

    Attributes:
        face: the packaged 3D face.
    """

    def __init__(self, config: FaceShapeT, network: NetworkT | None = None, engine: Engine = PLAIN) -> None:
        super().__init__(config, network, engine)
        self.face = load_face_model()

    @cached_property
    def kind(self) -> MorphableKind:
        """Coefficients of the packaged 3D face."""

        def shapes(meshes: Meshes) -> Array:
            fit = fit_clip(np.stack(meshes), self.face)
            return np.concatenate([np.broadcast_to(fit.identity, (len(meshes), len(fit.identity))), fit.expression], 1)

        sizes = len(self.face.identity), len(self.face.expression)
        return MorphableKind(*sizes, self.face, shapes, gaze=self.config.irises)

    @property
    def needs(self) -> frozenset[Prior]:
        """The mesh, to which the 3D face is fitted; the segmentation too where the background is a layer."""
        return frozenset({Prior.MESH, Prior.SEGMENTATION} if self.config.layers else {Prior.MESH})

    @property
    def needs_of_driver(self) -> frozenset[Prior]:
        """The mesh."""
        return frozenset({Prior.MESH})

    def _analyse(self, observation: Observation) -> Motion:
        """Fit the 3D face to one observation."""
        if observation.mesh is None:
            raise FaceError("this model needs the face mesh of every frame it analyses")
        return self.kind.of_mesh(observation.mesh)

    def _person(self, source: Observation) -> Tensor | None:
        """The segmentation ``[1, 1, S, S]`` of a source, where the background is a layer."""
        if not self.config.layers:
            return None
        if source.segmentation is None:
            raise FaceError("this model needs the segmentation of the source")
        return grey_as_tensor(source.segmentation, self.device)

    def _vertices(self, motion: Motion) -> Array:
        """The posed face, ``float32 [468, 3]`` in [-1, 1], and with irises two more."""
        points = self.face.points(motion["camera"], motion["identity"], motion["expression"])
        return with_irises(points, motion["camera"], motion["gaze"]) if self.config.irises else points

    def _seen(self, vertices: Array) -> Tensor:
        """The triangle that is seen at each pixel, ``int32 [1, r, r]``."""
        raster = rasterise(vertices, self.face.triangles, self.config.raster)
        return torch.from_numpy(raster.index)[None].to(self.device)

    def _on_device(self, array: Array) -> Tensor:
        """Numbers as a batch of one."""
        return torch.from_numpy(np.array(array, np.float32))[None].to(self.device)
