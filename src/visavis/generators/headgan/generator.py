"""HeadGAN behind the contract that all generators keep."""

from __future__ import annotations

from collections import OrderedDict
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
from visavis.core.config import build
from visavis.core.errors import ConfigError, FaceError
from visavis.face.fitting import fit_clip, fit_frame
from visavis.face.model3d import FaceModel, load_face_model
from visavis.face.nmfc import nmfc_colours
from visavis.face.raster import rasterise
from visavis.face.types import Observation
from visavis.generators.base import Prior
from visavis.generators.headgan.config import NAMED, HeadganConfig
from visavis.generators.headgan.cost import gmac_of
from visavis.generators.headgan.motion import face_motion, face_pictures
from visavis.generators.headgan.network import HeadganNetwork, Still
from visavis.generators.network import NetworkGenerator
from visavis.motion.kind import Meshes
from visavis.motion.layout import Motion
from visavis.motion.morphable_kind import MorphableKind
from visavis.nn.engine import PLAIN, Engine
from visavis.nn.pictures import grey_as_tensor

_RASTERS_KEPT = 16


@dataclass(frozen=True)
class Prepared:
    """All that depends on the source alone.

    Attributes:
        still: what the network made of it.
        points: vertices of the source's face, ``float32 [1, 468, 3]`` in [-1, 1].
    """

    still: Still
    points: Tensor


class HeadganGenerator(NetworkGenerator[HeadganNetwork, Prepared]):
    """HeadGAN as a generator: motion is a 3D face, and frames are rendered from the last k + 1 of them.

    Args:
        config: shape of the network.
        network: weights; new ones when None.
        engine: where and how to compute.
    """

    family = "headgan"
    named: ClassVar[Mapping[str, Mapping[str, object]]] = {name: asdict(make()) for name, make in NAMED.items()}
    gmac_of = staticmethod(gmac_of)

    def __init__(self, config: HeadganConfig, network: HeadganNetwork | None = None, engine: Engine = PLAIN) -> None:
        if config.sound not in (0, SIZE):
            raise ConfigError(f"'sound' must be 0 or {SIZE}, the numbers of a frame's sound, not {config.sound}")
        self.config, self.memory = config, config.memory
        super().__init__(network or HeadganNetwork(config), engine)
        # Frames are rendered one after the other: of a window all but the newest face were drawn before.
        self._drawn: OrderedDict[bytes, tuple[Tensor, Tensor]] = OrderedDict()

    @staticmethod
    def new_network(config: Mapping[str, object]) -> HeadganNetwork:
        """The network that a checkpoint's plain config describes, with new weights."""
        return HeadganNetwork(build(HeadganConfig, config))

    @classmethod
    def from_checkpoint(
        cls, config: Mapping[str, object], network: HeadganNetwork | None = None, engine: Engine = PLAIN
    ) -> HeadganGenerator:
        """Build from a checkpoint's plain config, around its network or a new one."""
        return cls(build(HeadganConfig, config), network, engine)

    @property
    def plain_config(self) -> dict[str, object]:
        """The config as a checkpoint stores it."""
        return asdict(self.config)

    @property
    def size(self) -> int:
        """Side of the pictures."""
        return self.config.size

    @cached_property
    def face(self) -> FaceModel:
        """The packaged 3D face, which its motions are of."""
        return load_face_model()

    @cached_property
    def kind(self) -> MorphableKind:
        """Identity, expression and camera of the 3D face."""
        face = self.face

        def expressions(meshes: Meshes) -> NDArray[np.float32]:
            return fit_clip(np.stack(list(meshes)), face).expression

        return MorphableKind(len(face.identity), len(face.expression), face, expressions)

    @property
    def needs(self) -> frozenset[Prior]:
        """The mesh, which the face is fitted to; segmentation for layers."""
        return frozenset({Prior.MESH, Prior.SEGMENTATION} if self.config.layers else {Prior.MESH})

    @cached_property
    def hears(self) -> SoundFeature | None:
        """300 numbers of the sound around a frame."""
        return SpeechFeatures.load() if self.config.sound else None

    @cached_property
    def _tables(self) -> tuple[Tensor, Tensor]:
        """Triangles and colours of the face, on the device."""
        triangles = torch.from_numpy(self.face.triangles.astype(np.int64))
        return triangles.to(self.device), torch.from_numpy(nmfc_colours(self.face)).to(self.device)

    def _analyse(self, observation: Observation) -> Motion:
        """Fit the 3D face to the mesh (section 3.1)."""
        if observation.mesh is None:
            raise FaceError("this model needs the face mesh of every frame it analyses")
        fit = fit_frame(observation.mesh, model=self.face)
        return Motion.of(self.kind.layout, identity=fit.identity, expression=fit.expression, camera=fit.camera)

    def _prepare(self, references: Sequence[Observation]) -> Prepared:
        """Encode the source."""
        source = references[0]
        index, points = self._face_of(self._analyse(source))
        person = None
        if self.config.layers:
            if source.segmentation is None:
                raise FaceError("this model needs the segmentation of the source")
            person = grey_as_tensor(source.segmentation, self.device)
        with self.engine.autocast():
            still = self.network.encode(self._picture(source), face_pictures(index[:, None], self._tables[1]), person)
        return Prepared(still, points)

    def _render(self, person: Prepared, motions: Sequence[Motion], sound: NDArray[np.float32] | None) -> Tensor:
        """Render the last of the motions (equation 2)."""
        faces = [self._face_of(motion) for motion in motions]
        triangles, colours = self._tables
        index, points = faces[-1]
        moved = face_motion(index, points, person.points, triangles) if self.config.mesh_flow else None
        heard = None if sound is None else torch.from_numpy(sound)[None].to(self.device)
        pictures = face_pictures(torch.stack([index for index, _ in faces], 1), colours)
        with self.engine.autocast():
            return self.network.render(person.still, pictures, moved, heard).picture.float()

    def _face_of(self, motion: Motion) -> tuple[Tensor, Tensor]:
        """Visible triangles ``int64 [1, r, r]`` and vertices ``[1, 468, 3]`` of a motion's face."""
        key = motion.vector.tobytes()
        if key not in self._drawn:
            points = self.face.points(motion["camera"], motion["identity"], motion["expression"])
            index = rasterise(points, self.face.triangles, self.config.raster).index.astype(np.int64)
            while len(self._drawn) >= _RASTERS_KEPT:
                self._drawn.popitem(last=False)
            both = (torch.from_numpy(array)[None].to(self.device) for array in (index, points))
            self._drawn[key] = next(both), next(both)
        self._drawn.move_to_end(key)
        return self._drawn[key]
