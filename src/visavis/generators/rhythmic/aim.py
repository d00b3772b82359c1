"""From fitted faces to what the network is told of a frame: landmark images, t_M, t_s, and the projected face."""

from __future__ import annotations

from torch import Tensor

from visavis.face.rigid import reposed
from visavis.face.surface import draw_irises, face_motion, face_pictures
from visavis.face.types import SKIN_POINTS
from visavis.generators.rhythmic.config import RhythmicConfig
from visavis.generators.rhythmic.network import Aim
from visavis.generators.rhythmic.projection import chosen, frontal, matched, seen_triangles

_SURFACE, _LINE = 0.3, 0.7  # grey of the face's surface in a drawing, and what its contours add


class Aimer:
    """Aims at frames, the same way in training and in use.

    Args:
        config: of the network.
        triangles: ``int64 [T, 3]``.
        colours: ``[T, 3]``: NMFC, or for drawings the contours' colours, black elsewhere.
        eyes: ``float32 [T]``, 1 for the triangles that fill an eye.
    """

    def __init__(self, config: RhythmicConfig, triangles: Tensor, colours: Tensor, eyes: Tensor) -> None:
        self.config, self.triangles, self.eyes = config, triangles, eyes
        line = (colours.sum(1, keepdim=True) > 0).to(colours.dtype)
        self.colours = colours if config.nmfc else _SURFACE + _LINE * line

    def landmarks(self, index: Tensor, vertices: Tensor) -> Tensor:
        """Landmark images ``[B, k, c, r, r]``.

        Args:
            index: the triangle that is seen at each pixel, ``int [B, k, r, r]``.
            vertices: ``[B, k, V, 3]``; irises are drawn where they are among them.
        """
        faces = face_pictures(index, self.colours)
        if self.config.irises and vertices.shape[-2] > SKIN_POINTS:
            faces = draw_irises(faces, index, vertices, self.eyes)
        return faces.reshape(*index.shape[:2], -1, *faces.shape[2:])

    def aim(
        self,
        index: Tensor,
        vertices: Tensor,
        camera: Tensor,
        references: Tensor,
        cameras: Tensor,
        *,
        mesh: Tensor | None = None,
        match: Tensor | None = None,
    ) -> Aim:
        """Return what the network is told of a frame.

        Args:
            index: of the target's face, ``int [B, r, r]``.
            vertices: of it, ``[B, V, 3]``.
            camera: h_t, ``[B, 6]``.
            references: the references' vertices, ``[B, K, V, 3]``.
            cameras: h_{1:K}, ``[B, K, 6]``.
            mesh: of the frontal reference, where a network has found it, ``[B, 468, 3]``.
            match: t_s where it is chosen already, ``int64 [B]``.
        """
        front = frontal(cameras)
        landmark = self.landmarks(index[:, None], vertices[:, None])[:, 0]
        own = chosen(references, front) if mesh is None else mesh
        shown, seen, projected = vertices, index, landmark
        if not self.config.expression:
            shown = reposed(own, chosen(cameras, front), camera)
            seen = seen_triangles(shown, self.triangles, self.config.raster)
            projected = self.landmarks(seen[:, None], shown[:, None])[:, 0]
        motion = face_motion(seen, shown, own, self.triangles, pinned=self.config.surroundings)
        return Aim(landmark, projected, motion, front, matched(camera, cameras) if match is None else match)
