"""What may be wrong with a picture: of the whole of it (light, blur, noise, JPEG) and of places in it (damage).

Everything works on ``float32 [S, S, 3]`` pictures in [0, 1] and draws from a generator that is handed in.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.float32]

#: Change of a pixel from which a place counts as wholly damaged.
_VISIBLE = 0.06


def relight(picture: Picture, rng: np.random.Generator) -> Picture:
    """Random gain of each channel, contrast and gamma; now and then without colour."""
    if rng.random() < 0.1:
        picture = np.repeat(picture.mean(2, keepdims=True), 3, 2)
    gain = rng.uniform(0.75, 1.25) * rng.uniform(0.9, 1.1, 3)
    contrast, middle = rng.uniform(0.8, 1.2), picture.mean()
    return _clipped(np.power(_clipped((picture - middle) * contrast + middle), rng.uniform(0.8, 1.25)) * gain)


def degrade(picture: Picture, rng: np.random.Generator) -> Picture:
    """Each with its own chance: fewer pixels, blur, noise, JPEG."""
    size = picture.shape[0]
    if rng.random() < 0.25:
        side = int(size * rng.uniform(0.35, 0.9))
        small = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
        picture = np.asarray(cv2.resize(small, (size, size), interpolation=cv2.INTER_LINEAR), np.float32)
    if rng.random() < 0.2:
        picture = _blurred(picture, rng.uniform(0.4, 1.6) * size / 128)
    if rng.random() < 0.3:
        noise = rng.standard_normal(picture.shape, dtype=np.float32)
        picture = _clipped(picture + noise * np.float32(rng.uniform(0.005, 0.05)))
    if rng.random() < 0.3:
        picture = _jpeg(picture, int(rng.integers(25, 90)))
    return picture


def soften(picture: Picture, rng: np.random.Generator) -> Picture:
    """As generated and sent pictures are: slightly blurred, and coded as JPEG; either may be left out."""
    if rng.random() < 0.8:
        picture = _blurred(picture, rng.uniform(0.3, 1.0))
    if rng.random() < 0.6:
        picture = _jpeg(picture, int(rng.integers(40, 96)))
    return picture


def damage(picture: Picture, other: Picture, rng: np.random.Generator) -> tuple[Picture, Picture]:
    """Spoil one or two soft-edged places the way generators do: warp, blur, double, pixelate, or another frame's.

    Args:
        picture, other: two frames of one person.

    Returns:
        The spoilt picture, and how much each place changed, ``float32 [S, S]`` in [0, 1].
    """
    size = picture.shape[0]
    spoilt = picture
    for _ in range(int(rng.integers(1, 3))):
        mask = _place(size, rng)[..., None]
        spoilt = spoilt + mask * (_spoil(spoilt, other, rng) - spoilt)
    change = cv2.blur(np.abs(spoilt - picture).mean(2), (5, 5))
    return _clipped(spoilt), np.asarray(np.clip(change / _VISIBLE, 0, 1), np.float32)


def warp(picture: Picture, rng: np.random.Generator, reach: float, waves: int = 6) -> Picture:
    """Bend a picture smoothly by up to about ``reach`` of its side; bends are ``waves`` to a side."""
    size = picture.shape[0]
    coarse = rng.standard_normal((waves, waves, 2), dtype=np.float32) * np.float32(reach * size / 2)
    shift = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)
    y, x = np.mgrid[:size, :size].astype(np.float32)
    moved = cv2.remap(picture, x + shift[..., 0], y + shift[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(moved, np.float32)


def _spoil(picture: Picture, other: Picture, rng: np.random.Generator) -> Picture:
    size = picture.shape[0]
    kind = int(rng.integers(5))
    if kind == 0:
        return warp(picture, rng, rng.uniform(0.03, 0.1))
    if kind == 1:
        return _blurred(picture, rng.uniform(1.5, 5) * size / 128)
    if kind == 2:
        away = tuple(int(v) for v in np.rint(rng.uniform(0.03, 0.1, 2) * rng.choice([-1, 1], 2) * size))
        return np.asarray((picture + np.roll(picture, away, (0, 1))) / 2, np.float32)
    if kind == 3:
        side = max(2, int(size / rng.uniform(4, 10)))
        small = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
        return np.asarray(cv2.resize(small, (size, size), interpolation=cv2.INTER_NEAREST), np.float32)
    return other


def _place(size: int, rng: np.random.Generator) -> Picture:
    mask = np.zeros((size, size), np.float32)
    centre = tuple(int(v) for v in rng.normal(0.5, 0.2, 2) * size)
    axes = tuple(int(v) for v in rng.uniform(0.08, 0.3, 2) * size)
    cv2.ellipse(mask, centre, axes, float(rng.uniform(0, 180)), 0, 360, 1.0, -1)
    return _blurred(mask, rng.uniform(0.01, 0.04) * size)


def _blurred(picture: Picture, sigma: float) -> Picture:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma), np.float32)


def _jpeg(picture: Picture, quality: int) -> Picture:
    _, data = cv2.imencode(".jpg", np.rint(picture * 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.float32) / np.float32(255)


def _clipped(picture: Picture) -> Picture:
    return np.asarray(np.clip(picture, 0, 1), np.float32)
