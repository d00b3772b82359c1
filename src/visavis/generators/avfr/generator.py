"""AVFR behind the contract that all generators keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from visavis.audio.feature import MEL_WINDOW, SoundFeature
from visavis.core.config import build
from visavis.core.errors import FaceError
from visavis.face.lids import Lids
from visavis.face.lips import Lips
from visavis.face.mesh import draw_mesh
from visavis.face.morphable import LinearFaceModel
from visavis.face.types import Observation
from visavis.generators.avfr.config import FOLD, NAMED, AvfrConfig
from visavis.generators.avfr.mesh import ControlPoints, MeshControls
from visavis.generators.avfr.steps import Moved, Still
from visavis.generators.base import Prior
from visavis.generators.network import NetworkGenerator, overlaid
from visavis.motion.keypoint_kind import KeypointKind
from visavis.motion.keypoints import KeypointMotion
from visavis.motion.layout import Motion
from visavis.nn.arrays import on_host
from visavis.nn.graph import Graph, Step
from visavis.nn.pictures import Picture, as_array, grey_as_array
from visavis.nn.thin_plate import Spline, spline

if TYPE_CHECKING:
    from torch import nn

    from visavis.generators.avfr.network import AvfrNetwork


@dataclass(frozen=True)
class Prepared:
    """All that depends on the source alone.

    Attributes:
        still: what the network made of it.
        mesh: control points of its mesh; None for networks without mesh motion.
        skin: of the source picture, laid over where lids and lips close; empty for networks without a mesh.
    """

    still: Still
    mesh: MeshControls | None
    skin: tuple[Lids | Lips, ...]


class AvfrGenerator(NetworkGenerator[AvfrConfig, "AvfrNetwork", Prepared]):
    """AVFR-GAN as a generator.

    Args:
        config: shape of the network.
        network: weights; new ones when None.
        engine: where and how to compute; in bf16 all is but keypoints, the source, and where candidate motions lead.
    """

    family = "avfr"
    shape_class = AvfrConfig
    named: ClassVar[Mapping[str, Mapping[str, object]]] = {name: asdict(make()) for name, make in NAMED.items()}
    exact = ("detector",)
    moved_by = ("detector", "mesh_model")
    graphs = (
        Graph("detect", KeypointMotion, exact=True, steps=frozenset({Step.ANALYSE, Step.PREPARE})),
        Graph("encode", Still, exact=True, steps=frozenset({Step.PREPARE})),
        Graph("gather", exact=True, lent=True, steps=frozenset({Step.RENDER}), brief=True),
        Graph("weigh", lent=True, steps=frozenset({Step.RENDER}), brief=True),
        Graph("move", Moved, exact=True, lent=True, steps=frozenset({Step.RENDER}), brief=True),
        Graph("decode", lent=True, steps=frozenset({Step.RENDER})),
    )

    @classmethod
    def new_network(cls, config: Mapping[str, object]) -> AvfrNetwork:
        """The network that a checkpoint's plain config describes, with new weights."""
        from visavis.generators.avfr.network import AvfrNetwork

        return AvfrNetwork(build(AvfrConfig, config))

    @staticmethod
    def gmac_of(network: nn.Module) -> dict[str, dict[str, float]]:
        """See :mod:`visavis.generators.avfr.cost`."""
        from visavis.generators.avfr.cost import gmac_of

        return gmac_of(network)

    @cached_property
    def kind(self) -> KeypointKind:
        """Keypoints, jacobians, then camera and shape of the mesh; as the weights are when it is first asked for."""
        return KeypointKind(self.config.keypoints, self.config.jacobians, self.face_model)

    @cached_property
    def face_model(self) -> LinearFaceModel | None:
        """The linear face model that its motions' mesh values are of; None when they have none."""
        if not self.config.mesh_motion:
            return None
        return LinearFaceModel(self.run.weight("mesh_model.mean"), self.run.weight("mesh_model.basis"))

    @cached_property
    def _control_points(self) -> ControlPoints | None:
        """Of the face model."""
        model: Any = self.face_model
        return None if model is None else ControlPoints(model.mean, model.basis)

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
        still = self.run("encode", as_array(source.picture), motion, prior)
        skin: tuple[Lids | Lips, ...] = ()
        if self.face_model is not None and source.mesh is not None:
            skin = Lids(source.picture, source.mesh), Lips(source.picture, source.mesh)
        return Prepared(still, self._posed(motion), skin)

    def _render(self, person: Prepared, motions: Sequence[Motion], sound: NDArray[np.float32] | None) -> Picture:
        """Move the source, and close its lids and lips at full resolution."""
        still, driving = person.still, KeypointMotion.of(motions[-1])
        mesh = drawing = None
        if self.face_model is not None:
            mesh = self.face_model.points(on_host(driving.mesh)[0])
            drawing = _folded(grey_as_array(draw_mesh(mesh, self.size)))
        gathered, motions = self.run("gather", still, driving, self._by_mesh(person, driving), drawing)
        moved = self.run("move", still, self.run("weigh", gathered), motions)
        heard = self._heard(sound)
        picture = on_host(self.run("decode", moved, drawing, heard, still.background, still.small_background))
        if mesh is not None:
            for skin in person.skin:
                picture = overlaid(picture, skin.patches(mesh))
        return picture

    def _posed(self, motion: KeypointMotion) -> MeshControls | None:
        """Control points of a motion's mesh."""
        if self._control_points is None:
            return None
        values: Any = on_host(motion.mesh)
        return self._control_points.posed(values)

    def _by_mesh(self, person: Prepared, driving: KeypointMotion) -> Spline | None:
        """The mesh's candidate motion, as :meth:`visavis.generators.avfr.network.AvfrNetwork.carry` has it."""
        target = self._posed(driving)
        if target is None or person.mesh is None:
            return None
        return spline(target.points, person.mesh.points, stiffness=target.stiffness)

    def _heard(self, sound: NDArray[np.float32] | None) -> NDArray[np.float32] | None:
        """A batch of one mel window, silence where there is none; None for a network that is deaf."""
        if not self.config.sound:
            return None
        return (np.zeros(MEL_WINDOW.shape, np.float32) if sound is None else sound)[None, None]

    def _detect(self, observation: Observation) -> tuple[KeypointMotion, Picture | None]:
        """Motion of an observation, and its prior ``[1, 2, S, S]`` if this network looks at one."""
        values, drawing = self._mesh_of(observation)
        prior = None
        if drawing is not None:
            prior = np.concatenate([drawing, self._person(observation)], 1)
        return self.run("detect", as_array(observation.picture), prior, values), prior

    def _person(self, observation: Observation) -> Picture:
        """Segmentation ``[1, 1, S, S]``; empty where this network does not look at it."""
        if observation.segmentation is not None:
            return grey_as_array(observation.segmentation)
        if Prior.SEGMENTATION in self.needs_of_driver:
            raise FaceError("this model needs the segmentation of every frame it analyses")
        return np.zeros((1, 1, self.size, self.size), np.float32)

    def _mesh_of(self, observation: Observation) -> tuple[NDArray[np.float32] | None, Picture | None]:
        """Mesh values and drawing of an observation; the drawing is of the coded mesh, as a receiver has it."""
        if not {Prior.MESH, Prior.SEGMENTATION} & self.needs:
            return None, None
        if observation.mesh is None:
            raise FaceError("this model needs the face mesh of every frame it analyses")
        mesh, values = observation.mesh, None
        if self.face_model is not None:
            coded = self.face_model.fit(mesh)
            values = coded[None]
            mesh = self.face_model.points(coded)
        return values, grey_as_array(draw_mesh(mesh, self.size))


def _folded(drawing: Picture) -> Picture:
    """A drawing ``[1, 1, S, S]`` with each square of 4x4 pixels laid into channels, ``[1, 16, S/4, S/4]``."""
    side = drawing.shape[2] // FOLD
    squares = drawing.reshape(1, side, FOLD, side, FOLD).transpose(0, 2, 4, 1, 3)
    return np.ascontiguousarray(squares.reshape(1, FOLD**2, side, side))
