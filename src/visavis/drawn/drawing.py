"""A portrait drawn with polygons and soft brushes: who, in which pose, to pixels. No real person is in it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.media.frame import Pixels

Colour = tuple[float, float, float]
Points = NDArray[np.float64]

_OVERSAMPLING = 2
_SUB_PIXEL_BITS = 4


@dataclass(frozen=True)
class Pose:
    """What moves in the drawn face.

    Attributes:
        x, y: shift of the head, in shares of the picture's side.
        roll: radians, clockwise.
        yaw, pitch: turn of the features over the head, -1 to 1.
        mouth: how far the mouth is open, 0 to 1.
        lids: how far the lids are closed, 0 to 1.
        gaze: sideways look, -1 to 1.
    """

    x: float = 0.0
    y: float = 0.0
    roll: float = 0.0
    yaw: float = 0.0
    pitch: float = 0.0
    mouth: float = 0.0
    lids: float = 0.0
    gaze: float = 0.0


@dataclass(frozen=True)
class Looks:
    """Colours and proportions of one drawn person."""

    skin: Colour
    hair: Colour
    iris: Colour
    shirt: Colour
    ground: Colour
    width: float
    brow: float
    long_hair: bool

    @classmethod
    def of(cls, seed: int) -> Looks:
        """Draw a person from a seed."""
        rng = np.random.default_rng(seed)
        skins = [(232, 190, 165), (205, 155, 125), (160, 112, 84), (240, 205, 185), (120, 82, 62)]
        hairs = [(52, 36, 28), (28, 24, 24), (72, 46, 30), (112, 72, 40), (98, 50, 32), (150, 112, 66)]
        skin = skins[seed % len(skins)]
        likely = 2 if sum(skin) < 400 else len(hairs)  # dark skin comes with dark hair
        irises = [(70, 110, 140), (80, 60, 40), (70, 110, 70)]
        shirts = [(60, 84, 120), (130, 60, 64), (64, 100, 84), (90, 90, 96)]
        grounds = [(164, 180, 192), (196, 186, 172), (158, 176, 168)]
        return cls(
            skin=skin,
            hair=hairs[int(rng.integers(likely))],
            iris=irises[int(rng.integers(len(irises)))],
            shirt=shirts[int(rng.integers(len(shirts)))],
            ground=grounds[int(rng.integers(len(grounds)))],
            width=float(rng.uniform(0.94, 1.04)),
            brow=float(rng.uniform(0.9, 1.1)),
            long_hair=seed % 2 == 1,
        )


class Canvas:
    """Draws in head coordinates: origin between the eyes, unit about half the head's height."""

    def __init__(self, image: NDArray[np.float32], looks: Looks, pose: Pose) -> None:
        self.image, self.looks, self.pose = image, looks, pose
        self.side = image.shape[0]
        self.unit = 0.27 * self.side

    def still(self) -> Canvas:
        """The same picture for what follows the head only a little."""
        return Canvas(self.image, self.looks, Pose(self.pose.x * 0.25, self.pose.y * 0.25, self.pose.roll * 0.1))

    def place(self, points: Points, depth: float = 0.0) -> Points:
        """Head coordinates to pixels; nearer features (larger depth) shift more with yaw and pitch."""
        pose = self.pose
        moved = points * (self.looks.width, 1) + depth * np.array([0.30 * pose.yaw, 0.22 * pose.pitch])
        cos, sin = np.cos(pose.roll), np.sin(pose.roll)
        turned = moved @ np.array([[cos, sin], [-sin, cos]])
        return np.asarray((turned * self.unit + self.side * np.array([0.5 + pose.x, 0.44 + pose.y])), np.float64)

    def fill(
        self, points: Points, colour: Colour, soft: float = 0.0, alpha: float = 1.0, inside: Points | None = None
    ) -> None:
        """Fill a polygon given in pixels, with a soft edge of ``soft`` units, only within the polygon ``inside``."""
        self._lay(points, colour, soft, alpha, inside, 0)

    def stroke(
        self, points: Points, colour: Colour, width: float, soft: float = 0.0, inside: Points | None = None
    ) -> None:
        """Draw an open line given in pixels; ``width`` in units."""
        self._lay(points, colour, soft, 1.0, inside, max(1, round(width * self.unit)))

    def _lay(
        self, points: Points, colour: Colour, soft: float, alpha: float, inside: Points | None, width: int
    ) -> None:
        blur = max(soft * self.unit, 0.5) if soft else 0.0
        reach = 3 * blur + width + 2
        # Only the touched rectangle is worked on: most strokes are small.
        left, top = np.clip(np.floor(points.min(0) - reach), 0, self.side).astype(int)
        right, bottom = np.clip(np.ceil(points.max(0) + reach), 0, self.side).astype(int)
        if right <= left or bottom <= top:
            return
        corner, shape = np.array([left, top]), (bottom - top, right - left)
        weight = _mask(points - corner, shape, width)
        if blur:
            weight = cv2.GaussianBlur(weight, (0, 0), blur)
        if inside is not None:
            weight = weight * _mask(inside - corner, shape, 0)
        view = self.image[top:bottom, left:right]
        view += (alpha * weight)[..., None] * (np.array(colour, np.float32) - view)


def _mask(points: Points, shape: tuple[int, int], width: int) -> NDArray[np.float32]:
    mask = np.zeros(shape, np.uint8)
    fixed = [np.rint(points * (1 << _SUB_PIXEL_BITS)).astype(np.int32)]
    if width:
        cv2.polylines(mask, fixed, False, 255, width, cv2.LINE_AA, _SUB_PIXEL_BITS)
    else:
        cv2.fillPoly(mask, fixed, 255, cv2.LINE_AA, _SUB_PIXEL_BITS)
    return mask.astype(np.float32) / 255


def ellipse(cx: float, cy: float, rx: float, ry: float, start: float = 0, stop: float = 360) -> Points:
    """Points on an ellipse from ``start`` to ``stop`` degrees, clockwise from the right."""
    angle = np.radians(np.linspace(start, stop, 48))
    return np.stack([cx + rx * np.cos(angle), cy + ry * np.sin(angle)], 1)


def rounded(points: list[tuple[float, float]], *, closed: bool = True) -> Points:
    """Cut the corners of a polygon (Chaikin 1974) until it looks smooth."""
    path = np.array(points, np.float64)
    for _ in range(4):
        after = np.roll(path, -1, 0) if closed else path[1:]
        before = path if closed else path[:-1]
        cut = np.stack([0.75 * before + 0.25 * after, 0.25 * before + 0.75 * after], 1).reshape(-1, 2)
        path = cut if closed else np.concatenate([path[:1], cut, path[-1:]])
    return path


def mirrored(half: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Close a right half, given from top to bottom, with its mirror image."""
    return half + [(-x, y) for x, y in reversed(half)]


def tone(colour: Colour, gain: float) -> Colour:
    """A lighter or darker shade."""
    return (min(colour[0] * gain, 255), min(colour[1] * gain, 255), min(colour[2] * gain, 255))


def draw(size: int, seed: int = 0, pose: Pose | None = None) -> Pixels:
    """Draw one person as ``uint8 [size, size, 3]``."""
    from visavis.drawn import features

    looks = Looks.of(seed)
    canvas = Canvas(_ground(size * _OVERSAMPLING, seed).copy(), looks, pose or Pose())
    features.draw_person(canvas)
    picture = cv2.resize(np.clip(canvas.image, 0, 255), (size, size), interpolation=cv2.INTER_AREA)
    return np.asarray(np.rint(picture), np.uint8)


@lru_cache(maxsize=4)
def _ground(side: int, seed: int) -> NDArray[np.float32]:
    """A softly lit room out of focus: light from the upper left, a few pale discs, darker corners."""
    looks, rng = Looks.of(seed), np.random.default_rng(seed + 1000)
    y, x = np.mgrid[0:side, 0:side].astype(np.float32) / side
    light = 1.12 - 0.34 * np.hypot(x - 0.25, y - 0.15)
    image = (np.array(looks.ground, np.float32) * light[..., None]).astype(np.float32)
    canvas = Canvas(image, looks, Pose())
    for _ in range(9):
        place, radius = rng.uniform(0, 1, 2), rng.uniform(0.03, 0.09)
        disc = ellipse(place[0] * side, place[1] * 0.8 * side, radius * side, radius * side)
        canvas.fill(disc, tone(looks.ground, float(rng.uniform(1.1, 1.25))), 0.03, float(rng.uniform(0.12, 0.3)))
    return canvas.image
