"""HeadGAN behind the contract that all generators keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from visavis.audio.feature import SoundFeature
from visavis.audio.speech import SIZE, SpeechFeatures
from visavis.core.errors import ConfigError
from visavis.face.gaze import eye_triangles
from visavis.face.lids import Lids
from visavis.face.lips import Lips
from visavis.face.nmfc import landmark_colours, nmfc_colours
from visavis.face.surface import draw_irises, face_motion, face_pictures
from visavis.face.types import Observation
from visavis.generators.headgan.config import NAMED, HeadganConfig
from visavis.generators.headgan.cost import gmac_of
from visavis.generators.headgan.network import HeadganNetwork, Still
from visavis.generators.morphable import MorphableGenerator
from visavis.generators.network import overlaid
from visavis.motion.layout import Motion
from visavis.nn.arrays import on_host
from visavis.nn.engine import PLAIN, Engine
from visavis.nn.graph import Graph
from visavis.nn.pictures import Picture

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Prepared:
    """All that depends on the reference alone.

    Attributes:
        still: what the network made of it.
        vertices: of its face, ``float32 [1, V, 3]`` in [-1, 1].
        skin: of the source picture, laid over where lids and lips close.
    """

    still: Still
    vertices: Tensor
    skin: tuple[Lids | Lips, ...]


class HeadganGenerator(MorphableGenerator[HeadganConfig, HeadganNetwork, Prepared]):
    """HeadGAN as a generator: identity, expression and camera of a 3D face drive it, and the last k of them.

    Args:
        config: shape of the network.
        network: weights; new ones when None.
        engine: where and how to compute; faces and their flow are computed in float32.

    Raises:
        ConfigError: a network that hears other sound than there is.
    """

    family = "headgan"
    shape_class, network_class = HeadganConfig, HeadganNetwork
    named: ClassVar[Mapping[str, Mapping[str, object]]] = {name: asdict(make()) for name, make in NAMED.items()}
    graphs = (Graph("find_flow", lent=True), Graph("move", exact=True, lent=True), Graph("decode", lent=True))
    gmac_of = staticmethod(gmac_of)

    def __init__(self, config: HeadganConfig, network: HeadganNetwork | None = None, engine: Engine = PLAIN) -> None:
        if config.sound not in (0, SIZE):
            raise ConfigError(f"'sound' must be 0 or the {SIZE} numbers that speech is heard as, not {config.sound}")
        super().__init__(config, network, engine)
        self.memory = config.memory
        self._triangles = torch.from_numpy(self.face.triangles.astype(np.int64)).to(self.device)
        colours = landmark_colours(self.face) if config.landmarks else nmfc_colours(self.face)
        self._colours = torch.from_numpy(colours).to(self.device)
        self._eyes = torch.from_numpy(eye_triangles(self.face.triangles).astype(np.float32)).to(self.device)
        self._drawn: dict[bytes, Tensor] = {}

    @cached_property
    def hears(self) -> SoundFeature | None:
        """300 numbers of speech (section 3.2)."""
        return SpeechFeatures.load() if self.config.sound else None

    def _prepare(self, references: Sequence[Observation]) -> Prepared:
        """Encode the reference and its face picture."""
        source = references[0]
        vertices = self._vertices(self._analyse(source))
        face = self._pictures(self._seen(vertices)[:, None], vertices[None])
        still = self.network.encode(self._picture(source), face, self._person(source))
        skin = Lids(source.picture, vertices), Lips(source.picture, vertices)
        return Prepared(still, self._on_device(vertices), skin)

    def _render(self, person: Prepared, motions: Sequence[Motion], sound: Array | None) -> Picture:
        """Equation 2."""
        vertices = [self._vertices(motion) for motion in motions]
        index = torch.stack([self._remembered(each) for each in vertices], 1)
        faces = self._pictures(index, np.stack(vertices))
        motion = None
        if self.config.mesh_flow:
            motion = face_motion(index[:, -1], self._on_device(vertices[-1]), person.vertices, self._triangles)
        heard = None if sound is None else torch.from_numpy(sound)[None].to(self.device)
        picture = on_host(self.network.picture(person.still, faces, motion, heard))
        for skin in person.skin:
            picture = overlaid(picture, skin.patches(vertices[-1]))
        return picture

    def _pictures(self, index: Tensor, vertices: Array) -> Tensor:
        """Face pictures ``[1, 3 k, r, r]`` of what is seen, ``int32 [1, k, r, r]``, of faces ``[k, V, 3]``."""
        faces = face_pictures(index, self._colours)
        if not self.config.irises:
            return faces
        return draw_irises(faces, index, torch.from_numpy(vertices)[None].to(self.device), self._eyes)

    def _remembered(self, vertices: Array) -> Tensor:
        """The same, for faces that come again as the past of the frames that follow."""
        key = vertices.tobytes()
        found = self._drawn.pop(key, None)
        self._drawn[key] = self._seen(vertices) if found is None else found
        while len(self._drawn) > self.memory + 1:
            del self._drawn[next(iter(self._drawn))]
        return self._drawn[key]
