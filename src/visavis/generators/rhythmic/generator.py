"""The 3D-aware generative network behind the contract that all generators keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from visavis.core.errors import FaceError
from visavis.face.fitting import fit_clip, fit_frame
from visavis.face.gaze import eye_triangles, gaze_of, with_irises
from visavis.face.lids import Lids
from visavis.face.lips import Lips
from visavis.face.model3d import load_face_model
from visavis.face.nmfc import landmark_colours, nmfc_colours
from visavis.face.raster import rasterise
from visavis.face.types import Observation
from visavis.generators.base import Prior, References
from visavis.generators.network import NetworkGenerator, overlaid
from visavis.generators.rhythmic.aim import Aimer
from visavis.generators.rhythmic.config import NAMED, RhythmicConfig
from visavis.generators.rhythmic.cost import gmac_of
from visavis.generators.rhythmic.network import RhythmicNetwork, Still
from visavis.generators.rhythmic.projection import PositionMaps, chosen, frontal
from visavis.motion.kind import Meshes
from visavis.motion.layout import Motion
from visavis.motion.morphable_kind import MorphableKind
from visavis.nn.arrays import on_host
from visavis.nn.engine import PLAIN, Engine
from visavis.nn.graph import Graph
from visavis.nn.pictures import Picture, grey_as_tensor

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Prepared:
    """All that depends on the references alone.

    Attributes:
        still: what the network made of them.
        vertices: of their faces, ``float32 [1, K, V, 3]`` in [-1, 1].
        cameras: h_{1:K}, ``float32 [1, K, 6]``.
        mesh: of the frontal one, where a network found it, ``[1, 468, 3]``.
        skin: of the frontal picture, laid over where lids and lips close.
    """

    still: Still
    vertices: Tensor
    cameras: Tensor
    mesh: Tensor | None
    skin: tuple[Lids | Lips, ...]


class RhythmicGenerator(NetworkGenerator[RhythmicConfig, RhythmicNetwork, Prepared]):
    """Theta as a generator: expression and camera of a 3D face drive it, up to K pictures show the person.

    Args:
        config: shape of the network.
        network: weights; new ones when None.
        engine: where and how to compute; faces and their projection are computed in float32.
    """

    family = "rhythmic"
    shape_class, network_class = RhythmicConfig, RhythmicNetwork
    named: ClassVar[Mapping[str, Mapping[str, object]]] = {name: asdict(make()) for name, make in NAMED.items()}
    gmac_of = staticmethod(gmac_of)
    graphs = (Graph("find_flows", lent=True), Graph("move", exact=True, lent=True), Graph("decode", lent=True))

    def __init__(self, config: RhythmicConfig, network: RhythmicNetwork | None = None, engine: Engine = PLAIN) -> None:
        super().__init__(config, network, engine)
        self.references = References(1, config.references)
        self.face = load_face_model()
        colours = nmfc_colours(self.face) if config.nmfc else landmark_colours(self.face)
        eyes = eye_triangles(self.face.triangles).astype(np.float32)
        parts = self.face.triangles.astype(np.int64), colours, eyes
        self.aimer = Aimer(config, *(torch.from_numpy(part).to(self.device) for part in parts))

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
        """Fit the 3D face to one observation: who it is, p_t and h_t."""
        if observation.mesh is None:
            raise FaceError("this model needs the face mesh of every frame it analyses")
        fit = fit_frame(observation.mesh, model=self.face)
        parts = {"identity": fit.identity, "expression": fit.expression, "camera": fit.camera}
        if self.config.irises:
            parts["gaze"] = gaze_of(observation.mesh, fit.camera)
        return Motion.of(self.kind.layout, **parts)

    def _prepare(self, references: Sequence[Observation]) -> Prepared:
        """Choose the frontal reference, and embed all of them."""
        if self.config.gate == "all":  # it has weights for K of them
            references = [references[number % len(references)] for number in range(self.config.references)]
        motions = [self._analyse(reference) for reference in references]
        vertices = np.stack([self._vertices(motion) for motion in motions])
        cameras = self._on_device(np.stack([motion["camera"] for motion in motions]))
        index = torch.stack([self._seen(each) for each in vertices], 1)
        pictures = torch.stack([self._picture(reference) for reference in references], 1)
        landmarks = self.aimer.landmarks(index, self._on_device(vertices))
        still = self.network.encode(pictures, landmarks, self._persons(references))
        mesh = None
        if self.config.unprojection:
            mesh = self._maps.mesh(self.network.unprojection(chosen(pictures, frontal(cameras))))
        front = int(frontal(cameras)[0])
        picture = references[front].picture
        skin = Lids(picture, vertices[front]), Lips(picture, vertices[front])
        return Prepared(still, self._on_device(vertices), cameras, mesh, skin)

    @cached_property
    def _maps(self) -> PositionMaps:
        return PositionMaps(torch.from_numpy(self.face.mean.copy()), self.aimer.triangles)

    def _persons(self, references: Sequence[Observation]) -> Tensor | None:
        """Segmentations ``[1, K, 1, S, S]``, with layers."""
        if not self.config.layers:
            return None
        masks = [reference.segmentation for reference in references]
        if any(mask is None for mask in masks):
            raise FaceError("this model needs the segmentation of the source")
        return torch.stack([grey_as_tensor(mask, self.device) for mask in masks if mask is not None], 1)

    def _render(self, person: Prepared, motions: Sequence[Motion], sound: Array | None) -> Picture:
        """Figure 2, from p_t and h_t on; no sound is heard."""
        vertices = self._vertices(motions[-1])
        camera = self._on_device(motions[-1]["camera"])
        aim = self.aimer.aim(
            self._seen(vertices), self._on_device(vertices), camera, person.vertices, person.cameras, mesh=person.mesh
        )
        picture = on_host(self.network.picture(person.still, aim))
        for skin in person.skin:
            picture = overlaid(picture, skin.patches(vertices))
        return picture

    def _vertices(self, motion: Motion) -> Array:
        """The posed face, ``float32 [468, 3]`` in [-1, 1], and with irises two more."""
        points = self.face.points(motion["camera"], motion["identity"], motion["expression"])
        return with_irises(points, motion["camera"], motion["gaze"]) if self.config.irises else points

    def _on_device(self, array: Array) -> Tensor:
        return torch.from_numpy(np.array(array, np.float32))[None].to(self.device)

    def _seen(self, vertices: Array) -> Tensor:
        """The triangle that is seen at each pixel, ``int32 [1, r, r]``."""
        raster = rasterise(vertices, self.face.triangles, self.config.raster)
        return torch.from_numpy(raster.index)[None].to(self.device)
