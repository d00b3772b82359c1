"""AVFR behind the contract that all generators keep."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from visavis.core.config import build
from visavis.core.errors import FaceError
from visavis.face.lids import Lids
from visavis.face.lips import Lips
from visavis.face.mesh import draw_mesh
from visavis.face.morphable import LinearFaceModel
from visavis.face.overlay import Patch
from visavis.face.types import Observation
from visavis.generators.avfr.config import AvfrConfig
from visavis.generators.avfr.network import AvfrNetwork, Still
from visavis.generators.base import Prior
from visavis.motion.types import KeypointMotion, MotionLayout
from visavis.nn.denormals import denormals_flushed
from visavis.nn.folding import folded


@dataclass(frozen=True)
class Person:
    """All that depends on the source alone.

    Attributes:
        still: what the network made of it.
        skin: of the source picture, laid over where lids and lips close; empty for networks without a mesh.
    """

    still: Still
    skin: tuple[Lids | Lips, ...]


class AvfrGenerator:
    """AVFR-GAN as a generator.

    Args:
        config: shape of the network.
        network: weights; new ones when None.
        device: where to compute.
        precision: ``fp32``, or ``bf16`` for all but keypoints and dense motion.
    """

    family = "avfr"

    def __init__(
        self,
        config: AvfrConfig,
        network: AvfrNetwork | None = None,
        *,
        device: str = "cpu",
        precision: str = "fp32",
    ) -> None:
        self.config = config
        self.device, self.precision = torch.device(device), precision
        self.network = (network or AvfrNetwork(config)).to(self.device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        self.face_model: LinearFaceModel | None = None
        self.refresh()

    @staticmethod
    def new_network(values: Mapping[str, object]) -> AvfrNetwork:
        """The network that a checkpoint's plain config describes, with new weights."""
        return AvfrNetwork(build(AvfrConfig, values))

    @classmethod
    def from_config(
        cls,
        values: Mapping[str, object],
        network: AvfrNetwork | None = None,
        *,
        device: str = "cpu",
        precision: str = "fp32",
    ) -> AvfrGenerator:
        """Build from a checkpoint's plain config, around its network or a new one."""
        return cls(build(AvfrConfig, values), network, device=device, precision=precision)

    def refresh(self) -> None:
        """Take over the face model after weights were loaded into the network."""
        if self.config.mesh_motion:
            model = self.network.mesh_model
            self.face_model = LinearFaceModel(model.mean.cpu().numpy(), model.basis.cpu().numpy())

    def fold(self) -> None:
        """Make rendering fast; from here on the network is neither trained nor saved."""
        self.network = folded(self.network, exact=("detector", "motion"), bf16=self.precision == "bf16")
        if self.config.mesh_motion:
            self.network.mesh_model.settle()

    @property
    def plain_config(self) -> dict[str, object]:
        """The config as a checkpoint stores it."""
        return asdict(self.config)

    @property
    def size(self) -> int:
        """Side of the pictures."""
        return self.config.size

    @property
    def layout(self) -> MotionLayout:
        """Keypoints, jacobians, then camera and shape of the mesh."""
        mesh = 6 + self.config.mesh_coefficients if self.config.mesh_motion else 0
        return MotionLayout(self.config.keypoints, self.config.jacobians, mesh)

    @property
    def needs(self) -> frozenset[Prior]:
        """Mesh and segmentation for the structural prior, mesh for mesh motion, mel for sound."""
        needs = set()
        if self.config.structural_prior:
            needs |= {Prior.MESH, Prior.SEGMENTATION}
        if self.config.layers:
            needs |= {Prior.MESH, Prior.SEGMENTATION}
        if self.config.mesh_motion:
            needs.add(Prior.MESH)
        if self.config.sound:
            needs.add(Prior.MEL)
        return frozenset(needs)

    @denormals_flushed()
    @torch.inference_mode()
    def analyse(self, observation: Observation) -> KeypointMotion:
        """Motion of one observation (equation 1)."""
        return self._analyse(observation)[0]

    @denormals_flushed()
    @torch.inference_mode()
    def prepare(self, references: Sequence[Observation]) -> Person:
        """Encode the source, the first reference."""
        source = references[0]
        motion, prior = self._analyse(source)
        with self._autocast():
            still = self.network.encode(self._picture(source), motion, prior)
        skin: tuple[Lids | Lips, ...] = ()
        if self.face_model is not None and source.mesh is not None:
            skin = Lids(source.picture, source.mesh), Lips(source.picture, source.mesh)
        return Person(still, skin)

    @denormals_flushed()
    @torch.inference_mode()
    def render(self, person: Person, motion: KeypointMotion, sound: NDArray[np.float32] | None) -> Tensor:
        """Render one frame; see :class:`visavis.generators.base.Generator`."""
        motion = motion.to(self.device)
        mel = None if sound is None else torch.from_numpy(sound)[None, None].to(self.device)
        mesh = self._points(motion)
        drawing = None if mesh is None else self._as_tensor(draw_mesh(mesh, self.size))
        with self._autocast():
            picture = self.network.render(person.still, motion, drawing, mel).picture.float()
        if mesh is not None:
            for skin in person.skin:
                picture = _overlaid(picture, skin.patches(mesh))
        return picture

    def _analyse(self, observation: Observation) -> tuple[KeypointMotion, Tensor | None]:
        """Motion of an observation, and its prior ``[1, 2, S, S]`` if this network looks at one."""
        values, drawing = self._mesh_of(observation)
        prior = None
        if drawing is not None:
            prior = torch.cat([drawing, self._person(observation)], 1)
        return self.network.detect(self._picture(observation), prior, values), prior

    def _person(self, observation: Observation) -> Tensor:
        """Segmentation ``[1, 1, S, S]``; empty where this network does not look at it."""
        if observation.segmentation is not None:
            return self._as_tensor(observation.segmentation)
        if Prior.SEGMENTATION in self.needs:
            raise FaceError("this model needs the segmentation of every frame it analyses")
        return torch.zeros(1, 1, self.size, self.size, device=self.device)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")

    def _picture(self, observation: Observation) -> Tensor:
        pixels = torch.from_numpy(observation.picture.astype(np.float32) / 255)
        return pixels.permute(2, 0, 1)[None].contiguous(memory_format=torch.channels_last).to(self.device)

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
        return values, self._as_tensor(draw_mesh(mesh, self.size))

    def _points(self, motion: KeypointMotion) -> NDArray[np.float32] | None:
        if self.face_model is None or motion.mesh is None:
            return None
        return self.face_model.points(motion.mesh[0].cpu().numpy())

    def _as_tensor(self, grey: NDArray[np.uint8]) -> Tensor:
        return torch.from_numpy(grey.astype(np.float32) / 255)[None, None].to(self.device)


def _overlaid(picture: Tensor, patches: Iterable[Patch]) -> Tensor:
    """Lay the source's own skin over a picture ``[1, 3, S, S]``."""
    picture = picture.contiguous()
    for patch in patches:
        height, width = patch.weight.shape[:2]
        here = picture[0, :, patch.top : patch.top + height, patch.left : patch.left + width]
        skin, weight = (
            torch.from_numpy(part).permute(2, 0, 1).to(picture.device) for part in (patch.picture, patch.weight)
        )
        here.lerp_(skin, weight)
    return picture
