"""What two fitted faces give for nothing: the flow of the face itself, and the pictures that drive.

Where the driving face is seen, the triangle of a pixel and the pixel's place in it say which point of the face is
shown, and the source's vertices say where that point is in the source picture. Around the face the displacement is
carried on smoothly. All of it but which triangle is seen is differentiable with respect to the vertices.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from visavis.face.gaze import CORNERS, RADIUS
from visavis.face.types import SKIN_POINTS
from visavis.nn.composite import fill_holes
from visavis.nn.warp import coordinate_grid

#: Below this cosine to the camera the source shows a place too slantingly to be trusted to a pixel.
_GRAZING = 0.4
#: By how much that cosine grows where a place has turned into view.
_TURNED_IN = 0.25
#: How far such places are drawn in, as a share of their way to the middle: two to three pixels of a face 100 wide.
_DRAWN_IN = 0.07


@dataclass(frozen=True)
class FaceMotion:
    """Where the source has what the driving face shows.

    Attributes:
        shift: ``[B, 2, r, r]``, source place less own place, ``(x, y)`` in units of [-1, 1]; smooth outside the face.
        inside: ``[B, 1, r, r]``, 1 where the driving face is seen.
        seen: ``[B, 1, r, r]``, cosine between the source's surface there and the camera: near 1 the source shows it
            well, below 0 it faces away; 0 outside the face.
    """

    shift: Tensor
    inside: Tensor
    seen: Tensor


def face_pictures(index: Tensor, colours: Tensor) -> Tensor:
    """Colour visible triangles (section 4.1, NMFC).

    Args:
        index: ``int [B, k, r, r]``, number of the visible triangle, -1 for none.
        colours: ``[T, c]``, as a rule normalised x, y, z of each triangle's middle on the mean face, in [0, 1].

    Returns:
        ``[B, c k, r, r]``, black where there is no face.
    """
    table = torch.cat([torch.zeros_like(colours[:1]), colours])
    batch, _, height, width = index.shape
    return table[index.long() + 1].permute(0, 1, 4, 2, 3).reshape(batch, -1, height, width)


@torch.no_grad()
def draw_irises(faces: Tensor, index: Tensor, vertices: Tensor, eyes: Tensor) -> Tensor:
    """Draw irises, white as no triangle is, where a face picture shows the inside of an eye.

    Args:
        faces: ``[B, c k, r, r]``, from :func:`face_pictures`.
        index: ``int [B, k, r, r]``.
        vertices: ``[B, k, 470, 3]``, as of :func:`visavis.face.gaze.with_irises`.
        eyes: ``float32 [T]``, 1 for the triangles that fill an eye.
    """
    side = index.shape[-1]
    place = coordinate_grid(side, side, align_corners=False, device=index.device)
    inside = torch.cat([eyes.new_zeros(1), eyes])[index.long() + 1]
    shown = torch.zeros_like(inside)
    for iris, (outer, inner) in enumerate(CORNERS):
        middle = vertices[:, :, SKIN_POINTS + iris, :2]
        radius = RADIUS / 2 * (vertices[:, :, outer] - vertices[:, :, inner]).norm(dim=-1)
        away = (place - middle[:, :, None, None]).norm(dim=-1)
        # A pixel at the rim counts by half.
        shown = torch.maximum(shown, ((radius[..., None, None] - away) * (side / 2) + 0.5).clamp(0, 1))
    share = (inside * shown).repeat_interleave(faces.shape[1] // index.shape[1], 1)
    return faces + share * (1 - faces)


def face_motion(
    index: Tensor, driving: Tensor, source: Tensor, triangles: Tensor, *, pinned: bool = False
) -> FaceMotion:
    """Return the motion from a driving face to the source's, in float32.

    Args:
        index: ``int [B, r, r]``, number of the driving face's visible triangle, -1 for none.
        driving, source: vertices ``[B, V, 3]`` in [-1, 1].
        triangles: ``int64 [T, 3]``, numbers of vertices.
        pinned: whether the border of the picture is held where it is, so that the motion fades out towards it.
    """
    batch, side = index.shape[0], index.shape[1]
    place = coordinate_grid(side, side, align_corners=False, device=index.device).reshape(1, -1, 2)
    to, there = driving[:, triangles], source[:, triangles]  # [B, T, 3, 3]
    sampled = _drawn_in(driving, source, triangles)[:, triangles]
    flat = index.reshape(batch, -1, 1).long()
    face = _of_triangles(to, there, sampled).gather(1, flat.clamp_min(0).expand(-1, -1, 13))
    corner, edges, corners, cosine = face[..., :2], face[..., 2:6], face[..., 6:12], face[..., 12:]
    offset = place - corner
    # Barycentrics of the pixel's centre; a pixel at the rim may lie a little outside its triangle.
    second = (edges[..., 0:1] * offset[..., :1] + edges[..., 1:2] * offset[..., 1:]).clamp(0, 1)
    third = (edges[..., 2:3] * offset[..., :1] + edges[..., 3:4] * offset[..., 1:]).clamp(0, 1)
    total = (second + third).clamp_min(1)
    second, third = second / total, third / total
    first = 1 - second - third
    found = first * corners[..., :2] + second * corners[..., 2:4] + third * corners[..., 4:]
    inside = (flat >= 0).to(found.dtype)
    shift = torch.cat([(found - place) * inside, inside, cosine * inside], 2)
    shift = shift.transpose(1, 2).reshape(batch, 4, side, side)
    known = shift[:, 2:3]
    held = known
    if pinned:
        held = F.pad(known[..., 1:-1, 1:-1], (1, 1, 1, 1), value=1.0)
    return FaceMotion(fill_holes(shift[:, :2], held), known, shift[:, 3:])


def _drawn_in(driving: Tensor, source: Tensor, triangles: Tensor) -> Tensor:
    """Places ``[B, V, 2]`` to sample the source's vertices at.

    Where a head turns into view what the source shows at a grazing angle, a pixel of error in the mesh's outline would
    be spread over a cheek in the colour of whatever lies behind the head. There, and only there, places are drawn
    towards the middle of the face.
    """
    before, now = _facing(source, triangles), _facing(driving, triangles)
    grazing = ((_GRAZING - before) / _GRAZING).clamp(0, 1)
    turned_in = ((now - before) / _TURNED_IN).clamp(0, 1)
    places = source[..., :2]
    return places.lerp(places.mean(1, keepdim=True), (_DRAWN_IN * grazing * turned_in)[..., None])


def _facing(vertices: Tensor, triangles: Tensor) -> Tensor:
    """Cosine ``[B, V]`` between the surface at each vertex and the camera, 1 facing it; of triangles in one order."""
    corners = vertices[:, triangles]
    normals = torch.linalg.cross(corners[..., 1, :] - corners[..., 0, :], corners[..., 2, :] - corners[..., 0, :])
    # Most of a face that is seen faces the camera, which says what sign that is.
    sign = normals[..., 2].sum(1, keepdim=True).sign()
    summed = torch.zeros_like(vertices)
    for corner in range(3):
        summed.index_add_(1, triangles[:, corner], normals)
    return sign * summed[..., 2] / summed.norm(dim=-1).clamp_min(1e-12)


def _of_triangles(to: Tensor, there: Tensor, sampled: Tensor) -> Tensor:
    """Per triangle ``[B, T, 13]``: driving corner, inverse of its edges, where corners are sampled, source's cosine."""
    one, two = to[..., 1, :] - to[..., 0, :], to[..., 2, :] - to[..., 0, :]
    area = one[..., 0] * two[..., 1] - one[..., 1] * two[..., 0]
    safe = torch.where(area.abs() < 1e-8, torch.full_like(area, 1e-8), area)[..., None]
    inverse = torch.stack([two[..., 1], -two[..., 0], -one[..., 1], one[..., 0]], -1) / safe
    normal = torch.linalg.cross(there[..., 1, :] - there[..., 0, :], there[..., 2, :] - there[..., 0, :])
    # A triangle that is seen faces the camera: the driving face says which sign that is, whatever the order of corners.
    cosine = area.sign() * normal[..., 2] / normal.norm(dim=-1).clamp_min(1e-12)
    return torch.cat([to[..., 0, :2], inverse, sampled.flatten(-2), cosine[..., None]], -1)
