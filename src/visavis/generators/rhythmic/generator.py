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

from visavis.face.gaze import eye_triangles
from visavis.face.lids import Lids
from visavis.face.lips import Lips
from visavis.face.nmfc import landmark_colours, nmfc_colours
from visavis.face.types import Observation
from visavis.generators.base import References
from visavis.generators.morphable import MorphableGenerator
from visavis.generators.network import overlaid
from visavis.generators.rhythmic.aim import Aimer
from visavis.generators.rhythmic.config import NAMED, RhythmicConfig
from visavis.generators.rhythmic.cost import gmac_of
from visavis.generators.rhythmic.network import RhythmicNetwork, Still
from visavis.generators.rhythmic.projection import PositionMaps, chosen, frontal
from visavis.motion.layout import Motion
from visavis.nn.arrays import on_host
from visavis.nn.engine import PLAIN, Engine
from visavis.nn.graph import Graph
from visavis.nn.pictures import Picture

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


class RhythmicGenerator(MorphableGenerator[RhythmicConfig, RhythmicNetwork, Prepared]):
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
        colours = nmfc_colours(self.face) if config.nmfc else landmark_colours(self.face)
        eyes = eye_triangles(self.face.triangles).astype(np.float32)
        parts = self.face.triangles.astype(np.int64), colours, eyes
        self.aimer = Aimer(config, *(torch.from_numpy(part).to(self.device) for part in parts))

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
        found = [person for person in map(self._person, references) if person is not None]
        return torch.stack(found, 1) if found else None

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
